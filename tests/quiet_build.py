"""What a build reports to where nobody listens."""


def silent(stage, done, total):
    del stage, done, total

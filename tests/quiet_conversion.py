"""A conversion, and what it says."""

from amber_jax.commands import conversion


def convert(source: str, target: str, **options) -> list[str]:
    """Converts FORMAT:PATH to FORMAT:PATH and returns the sentences that were told."""
    messages: list[str] = []
    conversion.convert(
        conversion.parse_place(source, "--from"),
        conversion.parse_place(target, "--to"),
        conversion.ExportOptions(**options),
        note=messages.append,
    )
    return messages

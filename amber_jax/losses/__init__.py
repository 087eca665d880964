"""The losses of pretraining, each on arrays; their names are those of the config."""

MASKED_LM, SENTENCES, WORDS = "masked_lm", "sentence_alignment", "word_alignment"
LOSSES = (MASKED_LM, SENTENCES, WORDS)
OF_SENTENCES = frozenset({SENTENCES})  # they compare the sentences of a batch

ATTENTION, SIMILARITY = "attention", "similarity"
WORD_FORMS = (ATTENTION, SIMILARITY)
"""What the word loss lets agree: the directions of attention, or mutual matches."""

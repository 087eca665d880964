"""Models of other formats in and out: parameters, configuration, tokenizer, card."""

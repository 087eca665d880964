"""Raw text to tokenized shards: readers, filters, packing, the record format."""

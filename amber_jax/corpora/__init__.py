"""Raw text to tokenised shards: readers, filters, packing, the record format."""

"""The arithmetic of sparse codes: selection, sparse products, dictionaries in shards."""

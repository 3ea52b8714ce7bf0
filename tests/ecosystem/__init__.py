"""Everything that takes a store takes this one: the libraries beside it, on real servers."""

"""Many revisions to few: what is squashed, how it is proven, and where the originals stay."""

"""The attention of a transformer over one grid of patches."""

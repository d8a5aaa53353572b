"""Watching a model while it trains: the maps of fixed samples, step by step."""

"""Watching and standing in for a module's calls, and leaving the model as it came."""

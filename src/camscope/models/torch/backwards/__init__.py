"""Backward passes with rules of their own."""

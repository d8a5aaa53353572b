"""Training an image classifier that is ready to be explained, and losses on its maps."""

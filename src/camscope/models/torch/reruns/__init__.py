"""Running the model, or the part of it after a layer, again on altered inputs or activations."""

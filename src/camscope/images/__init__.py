"""Photos: safe reading, preprocessing as the model was trained with, and the way back to the photo."""

"""Programs of PyTorch models that put out maps beside the logits: ONNX, and PyTorch's own `.pt2`."""

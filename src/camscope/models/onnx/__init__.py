"""The adapter of ONNX Runtime: it runs an ONNX graph, and any part of it as a graph of its own."""

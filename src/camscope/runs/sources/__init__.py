"""Where the images of a run come from: each source is a stream of inputs, and says where the bytes of each lie."""

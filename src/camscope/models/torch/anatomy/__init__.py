"""What one forward shows of a model: its layers and their grids, its head, and which layer explains it best."""

"""Pictures: colour, overlays, figures. Takes plain arrays and labels; knows no model and no method."""

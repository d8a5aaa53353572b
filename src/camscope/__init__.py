"""camscope shows where a model looks."""

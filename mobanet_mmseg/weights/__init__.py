"""Files of tensors, never run as code: read, named, compared with a model."""

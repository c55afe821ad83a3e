"""Pictures of two modalities and of label maps; nothing here registers."""

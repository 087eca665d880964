"""What a trained encoder is measured on."""

"""The public contract: what goes in and what comes out."""

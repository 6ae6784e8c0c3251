"""HTTP: paths, statuses, schemas, and one call into a service."""

"""What stands below everything: settings, the database, security, problems. Knows no table."""

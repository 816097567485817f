"""Revision files to a database: plan, backup, runner, verification."""

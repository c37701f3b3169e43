"""Bulk imports: a job is started through the API, gets a CSV file by PUT, and is worked in the background.

developer.monday.com/api-reference/reference/ingest-items-api-reference and …/docs/importing-items-in-bulk.
"""

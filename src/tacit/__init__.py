"""Confidential clean room: compute on the union of private data, learn exactly what was agreed."""

"""Tests of the calls on an AnnData in memory."""

"""Hostile input by the thousand, beside ordinary traffic: ``python -m bench.hostile`` (part of ``make hostile``)."""

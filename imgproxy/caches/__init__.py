"""What is remembered: results in tiers, originals, refusals, and what was purged."""

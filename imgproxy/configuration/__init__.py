"""What this server is configured to do: every setting with where it comes from, and what becomes of imgproxy's."""

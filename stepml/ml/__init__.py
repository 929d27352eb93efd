"""Learning: data, models and algorithms, in arrays. Knows neither functions nor storage."""

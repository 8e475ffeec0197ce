"""Whether a month was compared: what every report of monitoring says of itself."""

COMPARED, NOT_COMPARED = "compared", "not compared"
NO_SCORES = "no scores"
"""Why a month is not compared before there is a champion."""
NOT_ASKED = "the API was asked about no opportunity"
"""Why there is no online traffic to compare."""

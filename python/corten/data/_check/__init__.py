"""The parts of `corten.data.check`, one file for each question that it asks of a data set."""

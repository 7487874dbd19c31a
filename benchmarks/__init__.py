"""bee beside its peers, as ratios: `make bench`. They judge a machine with the code and are no tests."""

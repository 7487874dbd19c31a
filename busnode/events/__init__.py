"""The bus of a deployment: envelopes, what they may say, and the engines that carry them."""

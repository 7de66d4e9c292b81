"""The outside world: SoupBinTCP, OUCH, ITCH. Describes and rebuilds the market, cannot match."""

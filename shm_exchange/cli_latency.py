"""Shell: `shmx latency`: how long a client of a live exchange waits."""

from __future__ import annotations

import importlib
from decimal import Decimal, InvalidOperation

import click

from shm_exchange.cli_options import DEFAULT_NAME, named, show, with_json

_PRICE_UNIT, _PRICE_MAX = Decimal("0.0001"), Decimal("199999.99")  # of OUCH; a market order is none


class _Price(click.ParamType):
    name = "price"

    def convert(
        self, value: str | Decimal, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        try:
            price = Decimal(value)
        except InvalidOperation:
            price = Decimal("NaN")
        if not price.is_finite() or not 0 < price <= _PRICE_MAX or price % _PRICE_UNIT:
            self.fail(
                f"{str(value)!r} is not a price: a number with up to four decimals, above 0 and"
                f" at most {_PRICE_MAX}.",
                param,
                ctx,
            )
        return price


@click.command()
@named
@click.option("--session", required=True, metavar="USER", help="Whoever trades as it is displaced.")
@click.option(
    "--password",
    envvar="SHMX_PASSWORD",
    metavar="TEXT",
    help="Without it what the configuration says in clear; better in $SHMX_PASSWORD.",
)
@click.option("--instrument", default="AAPL", show_default=True, metavar="SYMBOL")
@click.option(
    "--price", type=_Price(), help="Of a buy that cannot trade; by default the lowest there is."
)
@click.option(
    "--rate",
    "rates",
    type=click.FloatRange(0, 2_000_000, min_open=True),
    multiple=True,
    default=(1_000.0,),
    show_default=True,
    metavar="R",
    help="Orders per second; may be given several times.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.01, 60),
    default=2.0,
    show_default=True,
    metavar="S",
    help="Of each rate.",
)
@with_json
def latency(
    name: str | None,
    session: str,
    password: str | None,
    instrument: str,
    price: Decimal | None,
    rates: tuple[float, ...],
    seconds: float,
    as_json: bool,
) -> None:
    """Measure how long a client waits, beside an echo on the same path.

    Sends immediate orders at a price where nothing trades: each is acknowledged and cancelled at
    once, none rests, the feed says nothing. It ends at the first one that trades or is rejected.
    Latency counts from the moment that an order was due, so a stall is seen by all orders that fall
    into it. Shows where the time went, too, by what the exchange says of each order.
    """
    measurement = importlib.import_module("gateways.latency")
    report = measurement.run(
        name or DEFAULT_NAME,
        session=session,
        password=password,
        instrument=instrument,
        price=price,
        rates=rates,
        seconds=seconds,
    )
    show(report, as_json)

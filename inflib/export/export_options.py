"""The options of `inflib export`. Light: the command line loads it for its help."""

import click


def _rule(action: str, what: str) -> click.Option:
    return click.Option(
        [f"--{action}"], multiple=True, metavar="RULE", help=f"{what} May be repeated."
    )


PARAMETERS: list[click.Parameter] = [
    click.Option(["--to"], required=True, metavar="TARGET", help="Where to write."),
    click.Option(
        ["--decisions"],
        metavar="FILE",
        help="decisions.csv, as the report's page saves.",
    ),
    _rule("flip", "Exchange chosen and rejected of these labels."),
    _rule("drop", "Leave these labels out."),
    _rule("tie", "Take these labels for ties."),
    _rule("review", "Select these labels for a review."),
    click.Option(["--query"], metavar="NAME", help="Query set that rules are about."),
    click.Option(
        ["--weights"],
        is_flag=True,
        help="Weigh labels by the probability that they are not harmful.",
    ),
    click.Option(
        ["--format", "kind"],
        type=click.Choice(["argilla", "label-studio"]),
        help="Write a folder to import into this labelling tool.",
    ),
    click.Option(
        ["--form"],
        type=click.Choice(["text", "messages"]),
        help="Texts or lists of messages; by default as the data are.",
    ),
    click.Option(
        ["--ties"],
        type=click.Choice(["drop", "both"]),
        default="drop",
        show_default=True,
        help="Leave ties out, or write each way round with half the weight.",
    ),
    click.Option(
        ["--anyway"], is_flag=True, help="Use scores whose verdict is `not usable`."
    ),
    click.Option(["--overwrite"], is_flag=True, help="Replace files that are there."),
]

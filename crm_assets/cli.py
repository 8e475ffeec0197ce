"""The `crm-assets` command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, NoReturn

import click

from crm_assets import __version__
from crm_assets.errors import CrmAssetsError, SettingsError, WriteBackError

if TYPE_CHECKING:
    from crm_assets.calendar import Month
    from crm_assets.simulator.writing import FileFormat

EXIT_CODES = """

\b
Exit codes:
  0  done              4  the lake cannot be used
  1  something failed  5  too much of the data is bad
  2  wrong settings    6  the model registry cannot be used
  3  wrong source      7  the month cannot be monitored
  8  the future leaks in, or a stored month is not what its inputs give
  9  drift is MEDIUM       10  drift is HIGH
  11 to 14  a deployment cannot be reached, or its run failed, was cancelled or took too long
"""

_SOURCE = click.option(
    "--source", metavar="URL", help="A folder, s3://bucket/prefix, simulator: or kaggle:OWNER/DATASET (CRM_SOURCE_URL)."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output and nothing else there.")


def _verb(function: Callable[..., Any]) -> Callable[..., Any]:
    """Print a user's mistake as one message, or as JSON, and exit with its code."""

    @wraps(function)
    def run(*args: Any, as_json: bool, **kwargs: Any) -> Any:
        try:
            return function(*args, as_json=as_json, **kwargs)
        except CrmAssetsError as error:
            fail(error, as_json=as_json)
        except ModuleNotFoundError as error:
            missing = f"{error.name} is not installed: pip install 'crm-assets[all]'"
            fail(SettingsError(missing), as_json=as_json)

    return run


def fail(error: CrmAssetsError, *, as_json: bool) -> NoReturn:
    """Say what is wrong and exit with the error's code."""
    if as_json:
        click.echo(json.dumps({"error": type(error).__name__, "message": str(error), "exit_code": error.exit_code}))
    else:
        click.echo(f"{type(error).__name__}: {error}", err=True)
    sys.exit(error.exit_code)


def _write(path: Path, data: bytes) -> None:
    """Write a file that the user asked for. Raises SettingsError when it cannot be written."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written ({error.strerror}): name another place") from None


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, which is made if need be. Raises SettingsError when that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{folder} cannot be made ({error.strerror}): name another place") from None
    for name, content in files.items():
        _write(folder / name, content)


@click.group(epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="crm-assets")
def main() -> None:
    """Sales probabilities from CRM history, using only what was known on their date.

    Settings come from the environment and .env: CRM_LAKE_URL, CRM_SOURCE_URL and others (docs/configuration.md).
    """


@main.command(epilog=f"Example: crm-assets run --source exports/crm --months 2017-03:2017-12{EXIT_CODES}")
@_SOURCE
@click.option("--months", metavar="A:B", help="Months to make, both ends included; all the source has by default.")
@click.option("--force", is_flag=True, help="Make the months again though they are up to date.")
@_JSON
@_verb
def run(source: str | None, months: str | None, force: bool, as_json: bool) -> None:
    """Run the whole graph for every month of a source, and show the scored pipeline of the last one."""
    from crm_assets.calendar import parse_months
    from crm_assets.run import run_months
    from crm_assets.settings import load_settings
    from crm_assets.summary import print_summary, summary

    settings = load_settings(source_url=source)
    wanted = parse_months(months) if months else None
    result = run_months(settings, wanted, force=force, show_progress=not as_json)
    shown = summary(result.platform, result.months[-1])
    if as_json:
        done = {name: [str(month) for month in getattr(result, name)] for name in ("made", "gathered")}
        click.echo(json.dumps({**done, **shown}, default=str))
    else:
        print_summary(shown, result)


_BACKFILL_CODES = """

\b
Exit codes: 11 Dagster cannot be reached or used, 12 the run failed, 13 it was
cancelled, 14 not done in time (it goes on); otherwise as of every command.
"""


@main.command(epilog=f"Example: crm-assets backfill 2017-01:2017-12 --url http://localhost:3000{_BACKFILL_CODES}")
@click.argument("months", metavar="START:END")
@_SOURCE
@click.option("--assets", metavar="A,B", help="Names of the assets, with commas in between; all by default.")
@click.option("--url", metavar="URL", help="Web server of the Dagster that is to do it; this process by default.")
@click.option("--per-month", is_flag=True, help="A run for each month, one after the other, instead of one for all.")
@click.option("--force", is_flag=True, help="Make what is up to date as well.")
@click.option("--plan", "only_plan", is_flag=True, help="Tell what would be made and why, and do nothing.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Longest time to wait for it.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@_JSON
@_verb
def backfill(
    *,
    months: str,
    source: str | None,
    assets: str | None,
    url: str | None,
    per_month: bool,
    force: bool,
    only_plan: bool,
    timeout: float | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Make what is missing or out of date in a range of months, here or by a running Dagster.

    The plan is shown and has to be confirmed. The same command goes on where it was cut off, and joins a run that is
    going on.
    """
    from crm_assets.calendar import parse_months
    from crm_assets.client import Platform, silent

    wanted = parse_months(months)
    if url and source:
        raise SettingsError("--source is a setting of the Dagster at --url: leave it out")
    names = None if assets is None else [name.strip() for name in assets.split(",") if name.strip()]
    platform = Platform.connect(url) if url else Platform.local(source=source)
    plan = platform.plan(names, wanted[0], wanted[-1], force=force)
    if only_plan:
        click.echo(json.dumps(plan.as_dict()) if as_json else str(plan))
        return
    if not as_json:
        click.echo(str(plan))
    if plan and not yes:
        if as_json or not _can_ask():
            raise SettingsError("nothing was started, for nobody can be asked here: add --yes to do it")
        if not click.confirm("Do it?"):
            raise SettingsError("nothing was started")
    try:
        done = platform.backfill(
            names,
            wanted[0],
            wanted[-1],
            per_month=per_month,
            force=force,
            on_progress=silent if as_json else None,
            timeout=timeout,
        )
    except KeyboardInterrupt:
        goes_on = f"the run goes on: see {url}/runs" if url else "it was stopped, what is stored is kept"
        click.echo(f"Interrupted; {goes_on}. The same command goes on where it stopped.", err=True)
        sys.exit(130)
    if as_json:
        told = {"state": done.state, "runs": done.run_ids, "urls": done.urls, "done": done.done, "total": done.total}
        click.echo(json.dumps({**told, "joined": done.joined, "plan": plan.as_dict()}))
    elif plan:
        click.echo(f"{done}.")


@main.command(epilog=f"Example: crm-assets scores --as-of 2017-09 --top 20{EXIT_CODES}")
@_SOURCE
@click.option("--as-of", "--month", "month", metavar="M", help="Month-end, YYYY-MM; the newest by default.")
@click.option("--sha256", metavar="HEX", help="Scores given earlier and replaced, by the first digits of their hash.")
@click.option("--top", default=10, show_default=True, type=click.IntRange(min=1), help="Rows to print.")
@click.option("--reasons", "with_reasons", is_flag=True, help="Say below each deal what raises and what lowers it.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the stored Parquet file here.")
@_JSON
@_verb
def scores(
    *,
    source: str | None,
    month: str | None,
    sha256: str | None,
    top: int,
    with_reasons: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Show the scores of a month as they were given, most expected revenue first; with --json all, with reasons.

    P(win) and lost are the probabilities of winning and losing by the end of the next month, abandoned that of never
    closing; closes is the month by whose end half of such deals have closed.
    """
    from crm_assets.calendar import Month
    from crm_assets.published import check_model, published
    from crm_assets.settings import load_settings
    from crm_assets.summary import print_provenance, print_scores

    settings = load_settings(source_url=source)
    found = published(settings, Month.parse(month) if month else None, sha256)
    if month:
        check_model(settings, found)
    if out:
        _write(out, found.file.read_bytes())
    rows = found.ranked_with_reasons()
    if with_reasons and found.reasons is None and rows.height:
        raise SettingsError(
            f"the lake has no reasons of these scores of {found.month}, as of any that others took the place of: leave "
            "--reasons out"
        )
    if as_json:
        told = {"month": str(found.month), "none_because": found.none_because, "provenance": found.provenance()}
        click.echo(json.dumps({**told, "scores": rows.to_dicts()}, default=str))
        return
    if rows.is_empty():
        click.echo(f"{found.none_because or f'No scores at the end of {found.month}'}.")
    else:
        count = f"{rows.height} opportunit{'y' if rows.height == 1 else 'ies'}"
        title = f"Open pipeline at the end of {found.month}: {count}; age in days, expected revenue in USD"
        print_scores(rows.head(top), title, with_reasons=with_reasons)
    print_provenance(found)


@main.command(epilog=f"Example: crm-assets forecast --month 2017-09 --by region{EXIT_CODES}")
@_SOURCE
@click.option("--month", metavar="M", help="Month-end at which it was made, YYYY-MM; the newest by default.")
@click.option("--by", "level", type=click.Choice(["region", "product", "agent"]), help="Divide the open deals by it.")
@_JSON
@_verb
def forecast(source: str | None, month: str | None, level: str | None, as_json: bool) -> None:
    """Show the revenue forecast for the month after, as it was given, and how earlier forecasts turned out.

    Revenue is at list price. The total is that of the book, the deals that are open, and of new business, which no book
    holds yet; naive is what the same line brought in the same month of the quarter before.
    """
    from crm_assets.calendar import Month
    from crm_assets.forecast import print_forecast, stored_forecast
    from crm_assets.settings import load_settings

    found = stored_forecast(load_settings(source_url=source), Month.parse(month) if month else None)
    if as_json:
        told = {"month": str(found.month), "forecast_month": str(found.month.next), "none_because": found.none_because}
        lines = (found.lines(level) if level else found.rows).to_dicts()
        click.echo(json.dumps({**told, "lines": lines, "given": found.given}))
    else:
        print_forecast(found, level)


@main.command(epilog=f"Example: crm-assets leakage --source exports/crm --months 2017-01:2017-12{EXIT_CODES}")
@_SOURCE
@click.option("--months", metavar="A:B", help="Months to probe, both ends included; all the source has by default.")
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), help="PNG to draw the newest month's probes in."
)
@_JSON
@_verb
def leakage(source: str | None, months: str | None, plot: Path | None, as_json: bool) -> None:
    """Probe features and training of every month for knowledge of the future, without storing anything."""
    from crm_assets.audit import audit, print_report
    from crm_assets.calendar import parse_months
    from crm_assets.defs.leakage import separation_picture
    from crm_assets.errors import LeakageError
    from crm_assets.leakage.finding import faults_of
    from crm_assets.settings import load_settings

    settings = load_settings(source_url=source)
    if plot and not plot.parent.is_dir():
        raise SettingsError(f"{plot.parent}, where the plot should go, is no folder")
    told = audit(
        settings,
        parse_months(months) if months else None,
        lambda month: None if as_json else click.echo(f"probing {month}", err=True),
    )
    picture = separation_picture(told) if plot else None
    if plot and picture:
        _write(plot, picture)
    elif plot:
        click.echo(f"{plot} is not drawn: no month had enough closings to measure anything", err=True)
    faults = faults_of(told)
    if as_json:
        click.echo(json.dumps({"passed": not faults, "faults": faults, "probes": told.to_dicts()}))
    else:
        print_report(told)
    if faults:
        sys.exit(LeakageError.exit_code)


@main.command(
    epilog=f"Example: crm-assets backtest --source exports/crm --months 2017-06:2017-11 --out scores.csv{EXIT_CODES}"
)
@_SOURCE
@click.option("--months", metavar="A:B", help="Snapshot months to predict; the newest CRM_BACKTEST_MONTHS by default.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="CSV to write the predictions to.")
@click.option("--features-out", type=click.Path(path_type=Path, dir_okay=False), help="CSV of the rows predicted.")
@_JSON
@_verb
def backtest(
    *, source: str | None, months: str | None, out: Path | None, features_out: Path | None, as_json: bool
) -> None:
    """Predict past months, each by the model that could have been trained at its end, without storing anything."""
    from crm_assets.backtesting import backtest as run_backtest
    from crm_assets.backtesting import print_backtest
    from crm_assets.calendar import parse_months
    from crm_assets.settings import load_settings

    settings = load_settings(source_url=source)
    for file in (out, features_out):
        if file and not file.parent.is_dir():
            raise SettingsError(f"{file.parent}, where {file.name} should go, is no folder")
    found = run_backtest(
        settings,
        parse_months(months) if months else None,
        lambda told: None if as_json else click.echo(told, err=True),
    )
    if out:
        columns = ["opportunity_id", "snapshot_month", "probability"]
        _write(out, found.predictions[columns].to_csv(index=False).encode())
    if features_out:
        _write(features_out, found.features.to_csv(index=False).encode())
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    else:
        print_backtest(found)


@main.command(epilog=f"Example: crm-assets rollback --reason 'prices were wrong in October'{EXIT_CODES}")
@_SOURCE
@click.option("--reason", required=True, help="Why, which is kept with the version that is withdrawn.")
@click.option("--to", "version", metavar="VERSION", help="Earlier champion to go back to; the last one by default.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@_JSON
@_verb
def rollback(source: str | None, reason: str, version: str | None, yes: bool, as_json: bool) -> None:
    """Withdraw the champion for good from the newest month on, and score that month by the champion before it.

    What will be withdrawn, and who is champion then, is told and has to be confirmed.
    """
    from crm_assets.rollback import PlannedRollback, roll_back
    from crm_assets.settings import load_settings

    def agreed(planned: PlannedRollback) -> None:
        if not as_json:
            click.echo("\n".join(planned.lines()))
        _confirm(yes=yes, as_json=as_json, nothing="nothing was withdrawn")

    settings = load_settings(source_url=source)
    done = roll_back(settings, reason, version, show_progress=not as_json, agreed=agreed)
    champion = {name: value for name, value in done.champion.items() if name.startswith("champion_")}
    if as_json:
        click.echo(json.dumps({"month": str(done.month), "withdrawn": done.withdrawn, **champion}))
        return
    now = champion["champion_version"]
    gone = ", ".join(done.names[version] for version in done.withdrawn)
    click.echo(f"Withdrawn from {done.month} on: {f'version {gone}' if gone else 'none besides'}, because {reason}.")
    told = f"version {now} of {champion['champion_month']} ({champion['champion_rung']})" if now else "nobody"
    click.echo(f"Champion: {told}. {done.month} was scored by it; earlier months and scores stay as they were.")


_WRITE_BACK_CODES = """

\b
Exit codes: 0 the target holds the scores, 15 it did not take all of them, or nothing was sent because the month is
older than what was delivered last or has no scores; otherwise as of every command.
"""


@main.command("write-back", epilog=f"Example: crm-assets write-back --month 2017-09 --dry-run{_WRITE_BACK_CODES}")
@_SOURCE
@click.option("--month", metavar="M", help="Month-end of the scores, YYYY-MM; the newest by default.")
@click.option("--dry-run", is_flag=True, help="Tell what would be sent, and send nothing.")
@click.option("--top", default=10, show_default=True, type=click.IntRange(min=0), help="Changes to print.")
@click.option("--force", is_flag=True, help="Send an older month than was delivered last, or one without scores.")
@click.option("--resend", is_flag=True, help="Send everything, as if nothing were known of what the target holds.")
@click.option("--yes", is_flag=True, help="Send without asking.")
@_JSON
@_verb
def write_back(
    *,
    source: str | None,
    month: str | None,
    dry_run: bool,
    top: int,
    force: bool,
    resend: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Send what the target of CRM_WRITEBACK_URL does not hold yet of a month's scores.

    What would be sent is told and has to be confirmed. The same command goes on where it was cut off, and changes
    nothing when all has arrived.
    """
    from crm_assets.calendar import Month
    from crm_assets.delivering import WriteBack, deliver_month
    from crm_assets.settings import load_settings

    def agreed(found: WriteBack) -> bool:
        if not as_json:
            click.echo("\n".join(found.lines(top)))
        if dry_run or not found.planned.changes:
            return not dry_run
        _confirm(yes=yes, as_json=as_json, nothing="nothing was sent")
        return True

    done = deliver_month(
        load_settings(source_url=source),
        Month.parse(month) if month else None,
        agreed,
        force=force,
        resend=resend,
        show_progress=not as_json,
    )
    if as_json:
        click.echo(json.dumps(done.as_dict(top)))
    elif done.delivered is not None:
        click.echo("\n".join(done.result_lines(top)))
    if done.delivered is not None and done.delivered.missing:
        sys.exit(WriteBackError.exit_code)


def _can_ask() -> bool:
    """Whether somebody can answer on standard input."""
    return sys.stdin.isatty()


@main.command(epilog=f"Example: crm-assets verify --month 2017-09{EXIT_CODES}")
@_SOURCE
@click.option("--month", metavar="M", required=True, help="Month to make again and compare, YYYY-MM.")
@_JSON
@_verb
def verify(source: str | None, month: str, as_json: bool) -> None:
    """Make a stored month again from its raw tables, beside the lake, and say whether it is identical."""
    from crm_assets.calendar import Month
    from crm_assets.errors import LeakageError
    from crm_assets.reproduction import verify as verify_month
    from crm_assets.settings import load_settings

    chosen = Month.parse(month)
    found = []
    for asset in verify_month(load_settings(source_url=source), chosen):
        found.append(asset)
        if not as_json:
            click.echo(f"{asset.outcome:15}{asset.asset:26}{asset.detail}")
            for note in asset.notes:
                click.echo(f"{'':15}{note}")
    wrong = [asset.asset for asset in found if asset.wrong]
    if as_json:
        told = [asdict(asset) for asset in found]
        click.echo(json.dumps({"month": str(chosen), "identical": not wrong, "assets": told}))
    elif wrong:
        click.echo(f"{chosen} is not what its inputs give: look at {wrong[0]} first.")
    else:
        click.echo(f"{chosen} is identical.")
    if wrong:
        sys.exit(LeakageError.exit_code)


@main.command(epilog=f"Example: crm-assets model-card --month 2017-09 --verify{EXIT_CODES}")
@_SOURCE
@click.option("--month", metavar="M", help="Month-end of the card, YYYY-MM; the newest by default.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to write the card's files to.")
@click.option("--verify", is_flag=True, help="Compute every number on it again and name those that differ.")
@_JSON
@_verb
def model_card(source: str | None, month: str | None, out: Path | None, verify: bool, as_json: bool) -> None:
    """Show the model card of a month, write it as Markdown and HTML, or check every number on it."""
    from crm_assets.calendar import Month
    from crm_assets.card import stored_card, verify_card
    from crm_assets.errors import LeakageError
    from crm_assets.settings import load_settings

    settings = load_settings(source_url=source)
    chosen = Month.parse(month) if month else None
    told: dict[str, Any] = {}
    if out or not verify:
        card = stored_card(settings, chosen)
        told = {"month": str(card.month), "place": card.place, "figures": card.figures.to_dicts()}
        if out:
            _write_all(out, {f"{card.month}.{suffix}": content for suffix, content in card.documents.items()})
        if not as_json:
            click.echo(f"Written to {out}." if out else card.documents["md"].decode())
    if verify:
        checked = verify_card(settings, chosen)
        told |= {"month": str(checked.month), "checked": checked.numbers, "differences": list(checked.differences)}
        if not as_json:
            for difference in checked.differences:
                click.echo(difference)
            for note in checked.notes:
                click.echo(note)
            click.echo(checked.sentence())
    if as_json:
        click.echo(json.dumps(told))
    if told.get("differences"):
        sys.exit(LeakageError.exit_code)


@main.command(epilog=f"Example: crm-assets why 1C1I7A6R --month 2017-09{EXIT_CODES}")
@click.argument("opportunity")
@_SOURCE
@click.option("--month", metavar="M", help="Month-end of the score, YYYY-MM; the newest by default.")
@_JSON
@_verb
def why(opportunity: str, source: str | None, month: str | None, as_json: bool) -> None:
    """Tell why the score of an opportunity is what it is, and why it moved since the month before.

    What raises and what lowers it comes first; then whether the deal changed, time passed, the world or the model
    changed.
    """
    from crm_assets.calendar import Month
    from crm_assets.settings import load_settings
    from crm_assets.why import print_why
    from crm_assets.why import why as why_it_moved

    settings = load_settings(source_url=source)
    moved = why_it_moved(settings, Month.parse(month) if month else None, opportunity)
    if as_json:
        click.echo(json.dumps(moved, default=str))
    else:
        print_why(moved)


_MONITOR_CODES = """

\b
Exit codes: 0 NONE or LOW, 7 not compared, 9 MEDIUM, 10 HIGH; otherwise as of every command.
"""


@main.command(epilog=f"Example: crm-assets monitor --month 2017-09{_MONITOR_CODES}")
@_SOURCE
@click.option("--month", metavar="M", help="Month-end, YYYY-MM; the newest by default.")
@_JSON
@_verb
def monitor(source: str | None, month: str | None, as_json: bool) -> None:
    """Tell how far a stored month has drifted, why, and where its report is; make the report if it is out of date."""
    from crm_assets.calendar import Month
    from crm_assets.monitor import EXIT_CODES as LEVEL_CODES
    from crm_assets.monitor import monitor as monitored
    from crm_assets.settings import load_settings

    found = monitored(load_settings(source_url=source), Month.parse(month) if month else None)
    if as_json:
        told = {"month": str(found.month), "level": found.level, "why": found.why, "report": found.report}
        click.echo(json.dumps({**told, "made": found.made, "figures": found.figures}, default=str))
    else:
        click.echo(f"{found.sentence()}.")
        if found.report:
            click.echo(f"{'Made' if found.made else 'Report'}: {found.report}")
    sys.exit(LEVEL_CODES[found.level])


@main.command("monitor-demo", epilog=f"Example: crm-assets monitor-demo --drift price{EXIT_CODES}")
@_SOURCE
@click.option(
    "--drift", default="price", show_default=True, help="price, region_mix, new_product, nulls, win_rate or units."
)
@click.option("--month", metavar="M", help="Month-end to copy, YYYY-MM; the newest that was compared by default.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the copy; a new one by default."
)
@_JSON
@_verb
def monitor_demo(source: str | None, drift: str, month: str | None, out: Path | None, as_json: bool) -> None:
    """Put something wrong into a copy of a stored month, and show the level, report and alert that come of it."""
    import tempfile

    from crm_assets.calendar import Month
    from crm_assets.monitor import monitor_demo as shown
    from crm_assets.monitoring.injection import SAID
    from crm_assets.settings import load_settings

    if drift not in SAID:
        raise SettingsError(f"--drift {drift!r} is unknown: choose among {', '.join(SAID)}")
    folder = out or Path(tempfile.mkdtemp(prefix="crm-assets-monitor-"))
    _write_all(folder, {})
    settings = load_settings(source_url=source)
    before, after, alert = shown(settings, drift, folder, Month.parse(month) if month else None)
    if as_json:
        told = {"drift": drift, "month": str(after.month), "before": before.level, "level": after.level}
        click.echo(json.dumps({**told, "why": after.why, "report": after.report, "alert": alert and alert.body}))
        return
    click.echo(f"As it is: {before.sentence()}.")
    click.echo(f"With {SAID[drift]}: {after.sentence()}.")
    click.echo(f"Report: {after.report}")
    click.echo(f"\nThe alert of it:\n\n{alert.title}\n\n{alert.body}" if alert else "No alert is sent of it.")


@main.command(
    epilog=f"Example: crm-assets simulate --opportunities 20000 --months 2017-01:2018-12 --out exports/sim{EXIT_CODES}"
)
@click.option("--opportunities", default=8_800, show_default=True, help="Opportunities in all.")
@click.option("--months", default="2016-10:2017-12", show_default=True, metavar="A:B", help="Months of the CRM.")
@click.option("--seed", default=7, show_default=True, help="Equal seeds give equal CRMs.")
@click.option(
    "--drift", multiple=True, metavar="KIND@MONTH:SIZE", help="For example price@2017-09:0.2; may be repeated."
)
@click.option("--late-export", is_flag=True, help="Write one export taken at the end instead of an extract per month.")
@click.option("--field-history", is_flag=True, help="Write what changed when instead of an extract per month.")
@click.option("--format", "file_format", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="New folder to write to.")
@_JSON
@_verb
def simulate(
    *,
    opportunities: int,
    months: str,
    seed: int,
    drift: tuple[str, ...],
    late_export: bool,
    field_history: bool,
    file_format: FileFormat,
    out: Path,
    as_json: bool,
) -> None:
    """Write a simulated CRM, and the true probabilities of its outcomes beside it."""
    from crm_assets.calendar import parse_months
    from crm_assets.simulator import Drift, SimulationConfig
    from crm_assets.simulator import simulate as simulate_crm
    from crm_assets.simulator.writing import (
        truth_folder,
        write_extracts,
        write_field_history,
        write_late_export,
        write_truth,
    )

    if late_export and field_history:
        raise SettingsError("--late-export and --field-history are two ways to write one CRM: give one of them")
    wanted = parse_months(months)
    config = SimulationConfig(
        opportunities=opportunities,
        first=wanted[0],
        last=wanted[-1],
        seed=seed,
        drifts=tuple(Drift.parse(text) for text in drift),
    )
    simulation = simulate_crm(config)
    if late_export:
        write_late_export(simulation, out, file_format)
    elif field_history:
        write_field_history(simulation, out, file_format)
    else:
        write_extracts(simulation, out, wanted, file_format)
    truth = truth_folder(out)
    write_truth(simulation, out, wanted)
    told = {"source": config.url(), "out": str(out), "truth": str(truth), "months": [str(month) for month in wanted]}
    if as_json:
        click.echo(json.dumps(told))
    else:
        click.echo(f"{opportunities:,} opportunities in {out}, their true probabilities in {truth}")
        taken = f"CRM_EXPORTED_ON={config.last.end} " if late_export or field_history else ""
        click.echo(f"Score them: {taken}crm-assets run --source {out}")


DEMO_DRIFT = "win_rate@2017-11:0.35"
_TO = click.option("--to", metavar="URL", help="Folder or s3://bucket/prefix to land in; CRM_SOURCE_URL by default.")
_CRM = click.option(
    "--simulator", metavar="URL", help="CRM to land, as simulator:?seed=3; only with its first month, then remembered."
)
_DRIFT = click.option(
    "--drift",
    multiple=True,
    metavar="KIND@MONTH:SIZE",
    help="From a month to come on, as price@2018-03:0.2; repeatable.",
)


@main.command(epilog=f"Example: crm-assets advance --to landing --months 3{EXIT_CODES}")
@_TO
@click.option("--months", "count", default=1, show_default=True, type=click.IntRange(min=1), help="How many to land.")
@_CRM
@_DRIFT
@click.option("--reset", is_flag=True, help="Remove what was landed, and nothing else, instead of landing more.")
@click.option("--yes", is_flag=True, help="Reset without asking.")
@_JSON
@_verb
def advance(
    *,
    to: str | None,
    count: int,
    simulator: str | None,
    drift: tuple[str, ...],
    reset: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Land the next month of a simulated CRM in a folder of extracts, as if a month had passed.

    A schedule or sensor of Dagster, or crm-assets run, takes it from there. Lake, models and Dagster's home are left
    alone, by --reset too.
    """
    from crm_assets.settings import load_settings
    from crm_assets.simulated_landing import LandedMonth, Landing
    from crm_assets.simulator import Drift

    landing = Landing(to or load_settings().source_url)
    if reset:
        months = landing.planned_reset()
        if not as_json:
            span = f"{months[-1]} to {months[0]}" if months else "no month"
            click.echo(f"Of {landing.url} will be removed: {span} of {landing.simulator()}.")
        _confirm(yes=yes, as_json=as_json, nothing="nothing was removed")
        landing.reset()
        if as_json:
            click.echo(json.dumps({"to": landing.url, "removed": [str(month) for month in months]}))
        else:
            click.echo("Removed. What was made of it stays in the lake, the model store and Dagster's home.")
        return

    def landed(month: LandedMonth) -> None:
        if not as_json:
            click.echo(
                f"{month.month}  {month.opportunities:,} opportunities, {month.created:,} of them new; "
                f"{month.won:,} won and {month.lost:,} lost"
            )

    made = landing.advance(count, simulator=simulator, drifts=[Drift.parse(text) for text in drift], landed=landed)
    if as_json:
        told = {"to": landing.url, "simulator": landing.simulator(), "landed": [str(month) for month in made]}
        click.echo(json.dumps(told))
    else:
        click.echo(f"Landed in {landing.url}: {landing.simulator()}")
        click.echo(f"Score it, unless Dagster does: crm-assets run --source {quote(landing.url)}")


@main.command(epilog=f"Example: crm-assets demo --replay --months 18 --drift price@2017-10:0.2{EXIT_CODES}")
@click.option("--replay", is_flag=True, help="Run each month as soon as it has landed, instead of all in one run.")
@click.option("--months", "count", default=18, show_default=True, type=click.IntRange(min=1), help="How many to land.")
@click.option("--to", default="demo", show_default=True, metavar="URL", help="Folder or s3://bucket/prefix to land in.")
@_CRM
@_DRIFT
@_JSON
@_verb
def demo(*, replay: bool, count: int, to: str, simulator: str | None, drift: tuple[str, ...], as_json: bool) -> None:
    """Land the next months of a simulated CRM that drifts, run them, and tell what became of each.

    Without --drift the CRM begins with one: win_rate@2017-11:0.35. A later call goes on where the last one ended. Lake
    and model store are those of the settings, in which the folder has a part of its own.
    """
    import shutil

    from crm_assets.replay import ending, header, line
    from crm_assets.replay import replay as replayed
    from crm_assets.settings import load_settings
    from crm_assets.simulated_landing import Landing
    from crm_assets.simulator import Drift, SimulationConfig

    # A simulated CRM has nothing to tell a real one.
    settings = load_settings(source_url=to, writeback_url="")
    begun = Landing(to).simulator()
    drifts = [Drift.parse(text) for text in drift]
    if begun is None and simulator is None and not drifts:
        drifts = [Drift.parse(DEMO_DRIFT)]
    # Redirected, the lines are whole.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    if not as_json:
        click.echo("\n".join(header()))

    def begun_with(month: Month) -> None:
        if width and not as_json:
            # Overwritten by the month's line.
            click.echo(f"{month}  has landed, running ...\r", nl=False)

    months = replayed(
        settings,
        count,
        simulator=simulator,
        drifts=drifts,
        one_by_one=replay,
        begun=begun_with,
        told=lambda month: None if as_json else click.echo("\n".join(line(month, width))),
    )
    crm = Landing(to).simulator()
    if as_json:
        click.echo(json.dumps({"to": to, "simulator": crm, "months": [month.as_dict() for month in months]}))
        return
    click.echo("\n".join(["", *ending(months, SimulationConfig.from_url(str(crm)).drifts)]))
    click.echo(f"Scores: crm-assets scores --source {quote(to)}")
    click.echo(f"Go on: crm-assets demo --replay --months 3 --to {quote(to)}")


def _confirm(*, yes: bool, as_json: bool, nothing: str) -> None:
    """Ask, unless told `yes`. Raises SettingsError, saying that `nothing` was done, on no or when nobody can answer."""
    if yes:
        return
    if as_json or not _can_ask():
        raise SettingsError(f"{nothing}, for nobody can be asked here: add --yes to do it")
    if not click.confirm("Do it?"):
        raise SettingsError(nothing)


@main.command(epilog=f"Example: crm-assets serve --port 8000{EXIT_CODES}")
@_SOURCE
@click.option("--host", metavar="ADDRESS", help="Address to listen on (CRM_API_HOST).")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on (CRM_API_PORT).")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that answer (CRM_API_WORKERS).")
@_JSON
@_verb
def serve(source: str | None, host: str | None, port: int | None, workers: int | None, as_json: bool) -> None:
    """Answer over HTTP: scores, reasons, the open pipeline and the forecast (docs/api.md)."""
    from crm_assets.serving.server import serve as run_server
    from crm_assets.settings import load_settings

    run_server(load_settings(source_url=source, api_host=host, api_port=port, api_workers=workers))


@main.command(epilog=f"Example: crm-assets app --port 8501{EXIT_CODES}")
@click.option("--host", metavar="ADDRESS", help="Address to listen on (CRM_APP_HOST).")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on (CRM_APP_PORT).")
@_JSON
@_verb
def app(host: str | None, port: int | None, as_json: bool) -> None:
    """Show the page: pipeline, opportunities, forecast, model, monitoring (docs/page.md)."""
    from crm_assets.app.server import serve as run_page
    from crm_assets.settings import load_settings

    run_page(load_settings(app_host=host, app_port=port))


@main.command("api-key", epilog=f"Example: crm-assets api-key crm --scopes read+score{EXIT_CODES}")
@click.argument("name")
@click.option(
    "--scopes",
    default="read+score",
    show_default=True,
    metavar="SCOPES",
    help="What it may do: read, score, operate, several with + in between.",
)
@_JSON
@_verb
def api_key(name: str, scopes: str, as_json: bool) -> None:
    """Make a key for the API, and print it with its entry for CRM_API_KEYS or CRM_API_KEYS_FILE.

    The key is shown once and kept nowhere; the entry holds only its hash.
    """
    from crm_assets.serving.access import entry, new_key

    key = new_key()
    told = entry(name, scopes, key)
    if as_json:
        click.echo(json.dumps({"key": key, "entry": told}))
    else:
        click.echo(f"key:   {key}\nentry: {told}")


@main.command("alert-test", epilog=f"Example: crm-assets alert-test{EXIT_CODES}")
@_JSON
@_verb
def alert_test(as_json: bool) -> None:
    """Send a test message to each URL of CRM_ALERT_URLS, and say which of them took it."""
    from datetime import UTC, datetime

    from crm_assets.alerts.sending import open_targets, trial_message
    from crm_assets.settings import load_settings

    settings = load_settings()
    targets = open_targets(settings)
    if not targets:
        raise SettingsError("CRM_ALERT_URLS is not set: name whom to tell (docs/alerts.md)")
    tried = []
    for target in targets:
        reason = target.send(trial_message(target.name, datetime.now(UTC), settings.dagster_url))
        tried.append({"target": target.name, "sent": reason is None, "reason": reason})
        if not as_json:
            click.echo(f"{'failed' if reason else 'sent':8}{target.name}{f': {reason}' if reason else ''}")
    if as_json:
        click.echo(json.dumps({"ok": all(found["sent"] for found in tried), "targets": tried}))
    if not all(found["sent"] for found in tried):
        sys.exit(CrmAssetsError.exit_code)


@main.command(epilog=f"Example: crm-assets doctor --source s3://exports/crm{EXIT_CODES}")
@_SOURCE
@_JSON
@_verb
def doctor(source: str | None, as_json: bool) -> None:
    """Show the settings; check source, lake, model registry, Dagster, alerts and the target of CRM_WRITEBACK_URL, and
    say how to mend what is wrong.

    A file doctor_probe is written to a lake that is there or on S3, read and deleted. Secrets are shown as ***.
    """
    from crm_assets.doctor import diagnose

    found = diagnose(source)
    failed = [finding for finding in found.findings if finding.error]
    if as_json:
        told = [finding.as_dict() for finding in found.findings]
        click.echo(json.dumps({"ok": not failed, "settings": [asdict(s) for s in found.settings], "findings": told}))
    else:
        for setting in found.settings:
            click.echo(f"{setting.variable:31}{setting.value or '-':31} {setting.origin}")
        if found.settings:
            click.echo()
        for finding in found.findings:
            state = "wrong" if finding.error else "ok"
            click.echo(f"{state:6}{finding.what:10}{finding.seconds:5.1f} s  {finding.text}")
    if failed:
        sys.exit(failed[0].error.exit_code if failed[0].error else 1)


if __name__ == "__main__":
    main()

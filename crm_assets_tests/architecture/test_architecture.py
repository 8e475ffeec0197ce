"""The C4 model says what is there: compose's services, Terraform's, the package's folders and their imports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from crm_assets_tests.architecture.drawing import digest, pictures
from crm_assets_tests.architecture.imports import package_imports, packages
from crm_assets_tests.architecture.structurizr import DslError, Workspace, read_workspace

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "architecture"
TERRAFORM = ROOT / "terraform"
NO_PICTURE = {"platform", "service", "task"}
"""Terraform modules that only put others together, or that every service is made with."""


@pytest.fixture(scope="module")
def model() -> Workspace:
    return read_workspace(FOLDER / "workspace.dsl")


def said(model: Workspace, name: str) -> list[str]:
    """Values of a property, of all elements that have it."""
    return [element.properties[name] for element in model.elements.values() if name in element.properties]


def test_each_container_is_a_service_of_compose_and_each_service_is_in_the_model(model: Workspace) -> None:
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    assert sorted(said(model, "compose")) == sorted(services)
    assert all("compose" in container.properties for container in model.of_kind("container"))


def test_each_container_is_deployed_in_every_environment(model: Workspace) -> None:
    containers = {container.id for container in model.of_kind("container")}
    for environment in model.of_kind("deploymentEnvironment"):
        instances = model.of_kind("containerInstance")
        assert {each.of for each in instances if model.environment(each) == environment.name} == containers


def test_each_container_says_what_it_is_in_terraform(model: Workspace) -> None:
    for container in model.of_kind("container"):
        assert re.fullmatch(r"(service|module)\.[a-z_]+", container.properties["terraform"]), container.name


def test_what_the_model_names_of_terraform_is_there_and_the_other_way_round(model: Workspace) -> None:
    if not TERRAFORM.is_dir():
        pytest.skip("there is no Terraform yet")
    named = said(model, "terraform")
    modules = {folder.name for folder in (TERRAFORM / "modules").iterdir() if folder.is_dir()}
    assert {name.removeprefix("module.") for name in named if name.startswith("module.")} == modules - NO_PICTURE
    assert {name.removeprefix("service.") for name in named if name.startswith("service.")} == terraform_services()


def terraform_services() -> set[str]:
    """Names of the ECS services that the platform's module makes."""
    text = "\n".join(file.read_text() for file in sorted((TERRAFORM / "modules" / "platform").glob("*.tf")))
    # Which of them an environment has is a switch: the longest list names all.
    lists = re.findall(r"^ {2}services += .*$", text, re.MULTILINE)
    assert lists, "the platform's module has no list of services"
    return set(re.findall(r'"([a-z_]+)"', lists[0]))


def test_each_package_folder_is_a_component_and_each_component_a_folder(model: Workspace) -> None:
    components = [component.name for component in model.of_kind("component")]
    assert sorted(components) == sorted(packages(ROOT / "crm_assets"))


def test_arrows_between_components_are_the_imports(model: Workspace) -> None:
    names = {component.id: component.name for component in model.of_kind("component")}
    drawn = {(names[a.source], names[a.target]) for a in model.relationships if a.source in names and a.target in names}
    assert drawn == package_imports(ROOT / "crm_assets")


def test_an_import_is_seen_wherever_it_stands_and_dropped_where_it_follows(tmp_path: Path) -> None:
    files = {
        "top/a.py": "def f():\n    from crm_assets.middle import b",
        "middle/b.py": "from crm_assets import beside",
        "beside.py": "from crm_assets.bottom.c import x",
        "bottom/c.py": "if TYPE_CHECKING:\n    from crm_assets.top.a import f",
        "top/d.py": "import crm_assets.bottom.c",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert package_imports(tmp_path) == {("top", "middle"), ("middle", "bottom")}


def test_pictures_are_those_of_the_model(model: Workspace) -> None:
    drawn = dict(pictures(model))
    assert {file.name for file in FOLDER.glob("*.svg")} == {name.name for name in drawn}
    for name, source in drawn.items():
        svg = (FOLDER / name).read_text(encoding="utf-8")
        assert f'data-view="{digest(source)}"' in svg, f"{name} is out of date: make diagrams"
        assert "http://" not in svg.replace("http://www.w3.org/", ""), f"{name} fetches something"


def test_every_picture_is_shown(model: Workspace) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert all(f"(architecture/{name})" in page for name, _ in pictures(model))


@pytest.mark.parametrize(
    ("line", "instead", "told"),
    [
        ('person "Salesperson"', 'persom "Salesperson"', "persom"),
        ("!impliedRelationships false", "!impliedRelationships true", "is not read here"),
        ("platform.page -> platform.api", "platform.page -> platform.apis", "platform.apis is not in the model"),
        ("containerInstance platform.postgres", "containerInstance platform", "instance of no container"),
        ("autoLayout tb", "autoLayout diagonal", "not read in a view"),
        ("api = container", "page = container", "there already"),
        ("shape Person", "form Person", "a style has"),
        ('"compose" "page"', '"compose"', "a name and a value"),
        ("include *", "include platform.nothing", "not read in a view"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(tmp_path: Path, line: str, instead: str, told: str) -> None:
    text = (FOLDER / "workspace.dsl").read_text(encoding="utf-8")
    assert line in text
    file = tmp_path / "workspace.dsl"
    file.write_text(text.replace(line, instead, 1))
    with pytest.raises(DslError, match=rf"line \d+: .*{re.escape(told)}"):
        read_workspace(file)


@pytest.mark.parametrize("text", ["", "workspace a {", "workspace a {\n}\n}", 'workspace "a {\n}'])
def test_blocks_that_do_not_close_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "workspace.dsl"
    file.write_text(text)
    with pytest.raises(DslError):
        read_workspace(file)

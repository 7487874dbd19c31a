"""What all commands share: the graph is loaded, nothing of it is run."""

from __future__ import annotations

import abc
import sys
from typing import TYPE_CHECKING, Any

from doit.cmd_base import DoitCmdBase
from doit.exceptions import InvalidCommand

from iso import container
from iso.errors import BadInputError, BuildError, explained
from iso.graph.refusal import refuse

if TYPE_CHECKING:
    from iso.graph.stage import Step
    from iso.graph.tasks import Build


class Question(DoitCmdBase, abc.ABC):  # type: ignore[misc]  # doit has no types
    """A command that is answered from the graph.

    A subclass gives doit's `name`, `doc_purpose`, `doc_usage` and a method `answer`, which prints and gives the exit
    status; a BuildError or OSError that it raises is said in its own words, with exit status 1, a
    BadInputError with 2. Settings are given as in a build; words beside them name a task, or nothing where
    `takes_words` is false.
    """

    takes_words = True
    doc_usage = "[TASK] [SETTING=VALUE]..."

    @property
    def build(self) -> Build:
        """The build that the dodo.py describes, with its settings and paths."""
        build: Build = self.loader.namespace["build"]
        return build

    @property
    def words(self) -> list[str]:
        """What stands on the command line beside options and settings."""
        return [] if self.sel_default_tasks else list(self.sel_tasks)

    def steps(self) -> list[Step]:
        """The stages that the named task needs, in their order; all of them without a name.

        Raises:
            InvalidCommand: there is no such task.
        """
        tasks = {task.name: task for task in self.task_list}
        wanted: set[str] = set()
        waiting = self.words or ["iso"]
        while waiting:
            name = waiting.pop()
            if name not in tasks:
                raise InvalidCommand(f"{name!r} is not a task: doit list names them")
            if name not in wanted:
                wanted.add(name)
                waiting += tasks[name].task_dep
        return [step for step in self.build.steps if step.stage.name in wanted]

    def execute(self, params: Any, args: list[str]) -> int:
        """Load the graph and answer.

        Args:
            params: values of the options.
            args: words of the command line beside options and settings.
        """
        self.options = params
        status: int = super().execute(params, args)
        return status

    @abc.abstractmethod
    def answer(self) -> int:
        """Print the answer.

        Returns:
            The exit status.
        """

    def _execute(self) -> int:
        try:
            if engine := self.build.settings.get(container.SETTING):
                raise BadInputError([f"{container.SETTING}={engine}: only doit iso goes to a container"])
            if self.words and not self.takes_words:
                raise BadInputError([f"{self.words[0]}: doit {self.name} takes no such word: doit help {self.name}"])
            return self.answer()
        except BadInputError as error:
            refuse(error.complaints)
        except (BuildError, OSError) as error:
            print(explained(error), file=sys.stderr)
            return 1

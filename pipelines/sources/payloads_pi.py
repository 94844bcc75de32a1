"""What PI Web API answers, as far as it is read here (PascalCase as the vendor writes it).

Structs are tolerant: unknown keys are ignored, absent ones have the meaning that the vendor gives to absence.
"""

from __future__ import annotations

import msgspec


class State(msgspec.Struct, gc=False):
    """A digital or system state. `Value` is the code; a system state says nothing about the measured quantity."""

    Value: int | None = None
    Name: str | None = None
    IsSystem: bool = False


class ValueFault(msgspec.Struct, gc=False):
    """A fault of one value or one stream inside an answer of status 200."""

    FieldName: str | None = None
    Message: list[str] | str | None = None


class Sample(msgspec.Struct, gc=False):
    """One archived value. `Timestamp` is UTC with 0 to 7 fractional digits, kept as text: Arrow casts it faster."""

    Timestamp: str | None = None
    Value: float | State | str | bool | None = None
    Good: bool = True
    Questionable: bool = False
    Errors: list[ValueFault] | None = None


class WebException(msgspec.Struct):
    """A failure that began after the headers were sent, in an answer of status 200."""

    StatusCode: int = 500
    Errors: list[str] = []


class Stream(msgspec.Struct):
    """The values of one point in an answer for several."""

    WebId: str
    Name: str = ""
    Items: list[Sample] = []


class StreamSet(msgspec.Struct):
    """`streamsets/recorded`. `Items` absent: the answer is no whole one."""

    Items: list[Stream] | None = None
    WebException: WebException | None = None


class SkeletonStream(msgspec.Struct):
    """As `Stream`, a number standing for each run of its samples."""

    WebId: str
    Name: str = ""
    Items: list[int] = []


class Skeleton(msgspec.Struct):
    """As `StreamSet`, its samples taken out."""

    Items: list[SkeletonStream] | None = None
    WebException: WebException | None = None


class Samples(msgspec.Struct):
    """`streams/{webId}/recorded`."""

    Items: list[Sample] | None = None
    WebException: WebException | None = None


class StreamValue(msgspec.Struct):
    """One point's value in `streamsets/recordedattime`; some versions give a list of one."""

    WebId: str
    Name: str = ""
    Value: Sample | None = None
    Items: list[Sample] = []


class StreamValues(msgspec.Struct):
    """`streamsets/recordedattime`."""

    Items: list[StreamValue] | None = None
    WebException: WebException | None = None


class OneSample(Sample):
    """`streams/{webId}/recordedattime`: the item itself."""

    WebException: WebException | None = None


class DataServer(msgspec.Struct):
    """A PI Data Archive behind the Web API. `Path` is `\\\\PIServers[NAME]` or `\\\\NAME`."""

    WebId: str
    Name: str
    IsConnected: bool = True


class DataServers(msgspec.Struct):
    """`dataservers`."""

    Items: list[DataServer] | None = None
    WebException: WebException | None = None


class Point(msgspec.Struct):
    """A PI point."""

    WebId: str
    Name: str
    PointType: str = ""
    EngineeringUnits: str = ""
    Descriptor: str = ""
    Step: bool = False


class Points(msgspec.Struct):
    """`dataservers/{webId}/points`."""

    Items: list[Point] | None = None
    WebException: WebException | None = None


class PointFault(msgspec.Struct):
    """Why one point of many was not found."""

    Errors: list[str] = []


class FoundPoint(msgspec.Struct):
    """One answer of `points/multiple`, in the order of the question."""

    Identifier: str = ""
    Object: Point | None = None
    Exception: PointFault | None = None


class FoundPoints(msgspec.Struct):
    """`points/multiple`."""

    Items: list[FoundPoint] | None = None
    WebException: WebException | None = None


class SubAnswer(msgspec.Struct):
    """One answer of a batch; `Content` is what the resource alone would answer."""

    Status: int
    Content: msgspec.Raw = msgspec.Raw(b"null")

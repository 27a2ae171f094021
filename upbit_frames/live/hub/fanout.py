"""Maps topics to subscribers and de-duplicates rows per topic (no I/O)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from upbit_frames.core.topics import Key, Topic, merged
from upbit_frames.errors import UpbitFramesError
from upbit_frames.exchange.wire.messages import Row, type_of
from upbit_frames.live.hub.gaps import Gap
from upbit_frames.live.hub.sequencer import TopicSequencer
from upbit_frames.live.hub.sequencer_types import sequencer_for
from upbit_frames.live.hub.subscriber import Subscriber

__all__ = ["FanOut", "PendingGap"]


class PendingGap(NamedTuple):
    """A gap that has to be backfilled."""

    key: Key
    sequencer: TopicSequencer
    gap: Gap


class FanOut:
    """The subscribers of one connection, and a sequencer for each subscribed topic.

    Attributes
    ----------
    subscribers : list of Subscriber
    sequencers : dict of Key to TopicSequencer
    rows : int
        All rows that arrived, subscribed or not.
    """

    def __init__(self) -> None:
        self.subscribers: list[Subscriber] = []
        self.rows = 0
        self.sequencers: dict[Key, TopicSequencer] = {}
        self._by_key: dict[Key, list[Subscriber]] = {}
        self._confirmed: set[Key] = set()  # topics on which a row has ever arrived
        self._epochs: dict[Key, int] = {}  # the last epoch in which a row arrived

    # --- subscriptions ------------------------------------------------------------------------

    @property
    def topics(self) -> set[Topic]:
        """The union of all subscriptions."""
        return {topic for subscriber in self.subscribers for topic in subscriber.topics}

    def knows(self, topic: Topic) -> bool:
        """Return whether the state of a topic was delivered to other subscribers, as deep as it is requested."""
        sequencer = self.sequencers.get(topic.key)
        if sequencer is None or sequencer.last_delivered is None:
            return False
        others = [other for each in self._by_key[topic.key] for other in each.topics if other.key == topic.key]
        return merged([topic, *others]) == merged(others)

    def add(self, subscriber: Subscriber, known: Iterable[Topic], started: int) -> bool:
        """Add a subscriber and deliver the state of known topics to it; return whether a topic is new."""
        self.subscribers.append(subscriber)
        new_topic = False
        for topic in subscriber.topics:
            sequencer = self.sequencers.get(topic.key)
            if sequencer is None:
                self.sequencers[topic.key] = sequencer_for(topic.type, topic.market, started)
                new_topic = True
            elif topic in known:
                # The exchange sends a snapshot to the first subscription only.
                subscriber.push([_as_snapshot(sequencer.last_delivered)])
            self._by_key.setdefault(topic.key, []).append(subscriber)
        return new_topic

    def remove(self, subscriber: Subscriber) -> None:
        """Remove a subscriber, and the topics that only it had."""
        self.subscribers.remove(subscriber)
        for topic in subscriber.topics:
            self._remove_topic(subscriber, topic)

    def _remove_topic(self, subscriber: Subscriber, topic: Topic) -> None:
        others = self._by_key[topic.key]
        others.remove(subscriber)
        if not others:
            del self._by_key[topic.key], self.sequencers[topic.key]
            self._confirmed.discard(topic.key)
            self._epochs.pop(topic.key, None)

    def end_topic(self, key: Key, error: UpbitFramesError) -> list[Subscriber]:
        """End a topic after delivering the rows held back; return the subscribers without any other topic."""
        sequencer = self.sequencers[key]
        self.deliver(key, sequencer, sequencer.close(error.message))
        done = []
        for subscriber in list(self._by_key[key]):
            ended = [topic for topic in subscriber.topics if topic.key == key]
            if len(ended) == len(subscriber.topics):
                done.append(subscriber)
                continue
            for topic in ended:
                self._remove_topic(subscriber, topic)
            subscriber.topics -= set(ended)
            subscriber.ended_markets[sequencer.market] = error
        return done

    def subscribers_of(self, key: Key) -> list[Subscriber]:
        """Return the subscribers of a topic."""
        return self._by_key.get(key, [])

    def unconfirmed(self) -> list[Subscriber]:
        """Return the subscribers with a topic on which no row has ever arrived."""
        return [
            subscriber
            for subscriber in self.subscribers
            if any(topic.key not in self._confirmed for topic in subscriber.topics)
        ]

    def is_primed(self, key: Key, epoch: int) -> bool:
        """Return whether the state of a topic arrived in an epoch, and no gap is open."""
        sequencer = self.sequencers.get(key)
        return sequencer is not None and self._epochs.get(key) == epoch and sequencer.gap is None

    def is_credible(self, key: Key, clock: int | None) -> bool:
        """Return whether the newest row of a topic is not stamped far ahead of the connection's clock."""
        sequencer = self.sequencers.get(key)
        return sequencer is not None and (sequencer.last is None or not sequencer.rows.ahead(sequencer.last, clock))

    # --- rows -----------------------------------------------------------------------------------

    def distribute(self, rows: Iterable[Row], epoch: int, offset: int | None = None) -> list[PendingGap]:
        """Deliver rows in order of arrival; return the gaps that they ended.

        ``offset`` is the connection's clock against ours, microseconds; see :class:`ConnectionClock`.
        """
        rows = list(rows)
        self.rows += len(rows)
        ready: dict[Subscriber, list[Row]] = {}  # so that each subscriber is woken once
        pending = []
        for row in rows:
            level = getattr(row, "level", 0.0)
            key = (type_of(row), row.code, 0.0 if level is msgspec.UNSET else level)
            sequencer = self.sequencers.get(key)
            if sequencer is None:
                continue  # of a subscription that has ended
            self._confirmed.add(key)
            self._epochs[key] = epoch
            fresh, gap = sequencer.accept(row, row.received_at, None if offset is None else row.received_at + offset)
            if sequencer.rows.dropped:
                self._report_late_rows(key, sequencer, row.received_at)
            if fresh:
                for subscriber in self._by_key[key]:
                    ready.setdefault(subscriber, []).extend(fresh)
            if gap is not None:
                pending.append(PendingGap(key, sequencer, gap))
        for subscriber, fresh in ready.items():
            subscriber.push(fresh)
        return pending

    def _report_late_rows(self, key: Key, sequencer: TopicSequencer, at: int) -> None:
        number = sequencer.rows.dropped
        gap = sequencer.drop_late_rows(at)
        for subscriber in self._by_key[key]:
            subscriber.dropped += number
            if gap is not None:
                subscriber.gaps.append(gap)

    def deliver(self, key: Key, sequencer: TopicSequencer, rows: list[Row]) -> None:
        """Deliver rows that were held back or fetched."""
        # Rows fetched for subscribers that have left are of no use to later ones.
        if rows and self.sequencers.get(key) is sequencer:
            for subscriber in self._by_key[key]:
                subscriber.push(rows)

    def count_invalid_frame(self, keys: Iterable[Key]) -> None:
        """Count a frame of these topics that was left out."""
        for subscriber in {subscriber for key in keys for subscriber in self._by_key[key]}:
            subscriber.invalid_frames += 1

    # --- gaps -----------------------------------------------------------------------------------

    def disconnect(self, at: int, reason: str, keys: Iterable[Key] | None = None) -> None:
        """Open a gap of all topics, or of these, where none is open."""
        for key in list(self.sequencers) if keys is None else keys:
            gap = self.sequencers[key].disconnect(at, reason)
            if gap is not None:
                for subscriber in self._by_key[key]:
                    subscriber.gaps.append(gap)

    def settle(self, at: int, now: int, keys: Iterable[Key] | None = None) -> list[PendingGap]:
        """End the gaps of topics on which nothing arrived since the reconnect; return those to backfill."""
        pending = []
        for key in list(self.sequencers) if keys is None else keys:
            gap = self.sequencers[key].settle(at, now)
            if gap is not None:
                pending.append(PendingGap(key, self.sequencers[key], gap))
        return pending

    def end_gaps(self, subscriber: Subscriber, at: int, now: int) -> list[PendingGap]:
        """End the open gaps of a subscriber that stops while disconnected; return those to backfill."""
        pending = []
        for key in {topic.key for topic in subscriber.topics}:
            sequencer = self.sequencers.get(key)
            if sequencer is None or sequencer.gap is None:
                continue
            reason = sequencer.gap.reason
            gap = sequencer.end_gap(now)
            if gap is not None:
                pending.append(PendingGap(key, sequencer, gap))
            rest = sequencer.disconnect(at, reason)  # the connection is still down for the others
            for other in self._by_key[key]:
                if other is not subscriber and rest is not None:
                    other.gaps.append(rest)
        return pending


def _as_snapshot(row: Row) -> Row:
    copy = msgspec.structs.replace(row)
    copy.stream_type = "SNAPSHOT"
    return copy

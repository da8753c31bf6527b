# SPDX-License-Identifier: Apache-2.0
"""Every bound as a named constant with its reason. Layer: bottom, imports nothing."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

# --- wire -----------------------------------------------------------------------------------------
MAX_FRAME: Final = 64 * KIB
"""Largest data channel message: what every engine's peer accepts (aiortc announces 65,536)."""
MAX_NATIVE_FRAME: Final = 256 * KIB
"""Largest message between two native engines: libwebrtc refuses more than 262,144 bytes."""
SLOW_FRAME: Final = 4 * KIB
"""Largest frame while nothing is known of the path: only a whole frame is life, and SCTP that begins with one packet
a round trip needs three of them for 4 KiB, but seven for 256 KiB. A second away that is a receiver left for dead."""
FRAME_SECONDS: Final = 0.05
"""Most that one frame may carry, in seconds at the measured rate."""
MAX_CONTROL_MESSAGE: Final = 8 * MIB
"""Largest control message after reassembly: an offer's manifest and a batch of wants fit many times over."""
MAX_OWNERS: Final = 512
"""Sessions that one message of ownership news lists: 80 KiB; who has more sends several."""
MAX_CIRCLE_BY_SIGNER: Final = 256
"""Statements of one own device about others: an admission and a revocation each of 128 devices."""
MAX_CIRCLE_STATEMENTS: Final = 2048
"""Statements about own devices that are kept: 3 MB; nine devices that all were linked by hand make 72."""
MAX_CIRCLE_BATCH: Final = 64
"""Statements that one message carries: 260 KB at most."""
MAX_CBOR_DEPTH: Final = 16
"""Nesting that a peer may send: our deepest message has six levels."""
MAX_CBOR_ITEMS: Final = 32_768
"""Items in one encoded value, its containers counted: a Want names 8,192 digests, and a
manifest lists 8,000 secrets. Eight million of one byte each fit a
message of 8 MiB, and take 100 times its size in memory."""
MAX_OBJECT_ITEMS: Final = 640_000
"""The same for one object of the content store: a directory of 60,000 entries has ten of them each."""
MAX_ENVELOPE: Final = 64 * KIB
"""Largest sealed signaling envelope: an SDP of many candidates is 6 KiB, keys and ciphertexts 5 KiB."""
MAX_RELAY_MESSAGE: Final = 96 * KIB
"""Largest WebSocket message at a relay: an envelope and its routing header."""
CREDIT_WINDOW: Final = 8 * MIB
"""Bulk bytes a sender may have outstanding: 250 ms at the 38 MB/s that the fast engine's slow end reaches."""
QUEUE_SECONDS: Final = 0.25
"""Most that may be queued in an engine, in seconds at the measured rate: more delays pings into false deaths."""
MIN_QUEUE: Final = 256 * KIB
MAX_QUEUE: Final = 4 * MIB
"""Bounds of the engine's send queue in bytes, whatever was measured (libwebrtc's own limit is 16 MiB)."""

# --- content --------------------------------------------------------------------------------------
CHUNK_MIN: Final = 16 * KIB
CHUNK_AVG: Final = 64 * KIB
CHUNK_MAX: Final = 256 * KIB
"""FastCDC parameters: small enough that a 1 KiB edit resends about 80 KiB before compression."""
MAX_OBJECT: Final = 8 * MIB
"""Largest object of the content store, uncompressed: a directory of 60,000 entries."""
MAX_SKETCH: Final = 24 * KIB + 1
"""Bytes of one sketch, 4,096 blocks: an object of 8 MiB has some 1,900 of them."""
MAX_SKETCHES: Final = 256
"""Sketches in one Want: where more objects are wanted each costs more than it saves."""
INDEX_FANOUT: Final = 256
"""Entries of one index object: at most about 12 KiB, since an edit in a long file resends one on each level."""
MAX_TREE_DEPTH: Final = 128
"""Nesting of directories: Linux paths of 4,096 bytes rarely hold more."""
MAX_NAME_BYTES: Final = 255
"""Bytes of one path component: NAME_MAX of Linux and macOS file systems."""
MAX_TARGET_BYTES: Final = 4095
"""Bytes of a symbolic link's target: PATH_MAX of Linux without its final NUL."""
MAX_INDEX_LEVEL: Final = 5
"""Levels of index objects above a file's chunks: three hold 8 TiB."""
MAX_TREE_ENTRIES: Final = 4_000_000
"""Entries of one walk through a tree: a directory object that names one child twice, nested, would never end."""
SECRET_WINDOW: Final = 4 * MIB
"""Bytes that are searched for credentials at once: a thread holds no more of a file, however long it is."""
SECRET_OVERLAP: Final = 64 * KIB
"""Bytes that two windows share: the longest credential is a private key with its certificates, some 20 KiB."""
MAX_SECRETS: Final = 1_000
"""Secrets that an offer lists for one part: nobody reads more, and who has more means to hand over none of it."""
MAX_SECRET_PATH: Final = 4096
"""Bytes of the path of one of them: PATH_MAX of Linux."""
MAX_PARTS: Final = 64
"""Parts of one session: people name a handful."""
MAX_REFUSALS: Final = 10_000
"""Refusals stored for one source, for ever: ten a day for almost three years, 4 MB. Its next Init is turned away."""
REFUSALS_IN_RESERVE: Final = 1_000
"""More of them for handoffs that had begun by then: a frozen source must get its answer."""
MAX_ARRIVING: Final = 64
"""Handoffs of one device that arrive at the same time and are not over: nobody reviews more."""
MAX_REMEMBERED: Final = 1024
"""The same with those that ended less than a minute ago: each keeps some 20 KiB until then."""
MAX_CHAINS_KEPT: Final = 12 * MIB
"""Bytes of the ownership chains of those that are not over, twice as much in memory: the longest is 5 to 7 MB."""
MAX_OFFERS_KEPT: Final = 12 * MIB
"""What the offers of one device weigh that are remembered: the largest that a message holds, with all its items."""
MAX_OFFERS_IN_ALL: Final = 32 * MIB
"""The same of all devices together: however many are linked, their offers stay within some 64 MiB of memory."""
OFFER_ITEM: Final = 512
"""Weight of a part or a listed secret beside its own bytes: what it takes in memory, and in a report."""
PROVE_AT_ONCE: Final = 8 * KIB
"""Bytes of a chain that is verified where it arrives: 16 handoffs, 10 ms of work. A longer one is in a thread."""
MAX_WANTED: Final = 65_536
"""Objects that a target may want at once and has not been sent: eight times what ours asks for."""
MAX_LEFT_OUT_TOLD: Final = 100
"""Paths that a report lists of those that could not be handed over."""
MAX_TITLE: Final = 200
"""Characters of a title or a display name on the wire."""
MAX_KIND: Final = 32
"""Characters of an adapter's kind."""
MAX_CRDT_UPDATE: Final = 256 * MIB
"""Largest single CRDT update applied from a peer."""
TRIAL_SECONDS: Final = 30.0
"""A trial of a peer's updates ends after this: the largest conversation takes a few seconds."""
TRIAL_MEMORY: Final = 64 * MIB
TRIAL_BYTES_PER_BYTE: Final = 128
"""How much a trial may grow: so much, and this for each byte of the updates (lines of two bytes take 40)."""
TRIAL_IDLE: Final = 60.0
"""Seconds after which the process for trials ends when nothing is to be tried."""
MAX_CONVERSATION: Final = 128 * MIB
"""Largest conversation file: its lines, its document and its newest update are in memory together while it changes."""
MAX_CONVERSATION_LOG: Final = 64
"""Updates that a conversation's log may name: ours merges them by size and stays near half of this."""

SPACE_MARGIN: Final = 16 * MIB
"""Bytes that must stay free beside what arrives: metadata, journals, the database, the file system's own needs."""

# --- time, in seconds -----------------------------------------------------------------------------
PING_INTERVAL: Final = 1.0
PEER_DEAD_AFTER: Final = 3.0
"""Any valid frame is life; a silent peer is dead after three missed pings."""
ICE_DEADLINE: Final = 10.0
"""A dead ICE attempt ends here (aiortc alone takes 63.6 s)."""
MAX_ANSWERING: Final = 8
"""Offers of one device that are answered and not yet a connection: each holds sockets for up to ICE_DEADLINE."""
GATHER_DEADLINE: Final = 0.5
"""A silent STUN server costs at most this (aiortc alone waits 5.0 s)."""
HANDSHAKE_DEADLINE: Final = 10.0
LINK_CODE_LIFETIME: Final = 600.0
"""A link code dies after ten minutes."""
LINK_ANSWER_WITHIN: Final = 15.0
"""Seconds that whoever is in a code's room has for each message that no person decides: it is made in milliseconds."""
MAX_BURNT_CODES: Final = 5
BURNT_CODES_WITHIN: Final = 600.0
"""So many codes may be burnt at a device in so many seconds before it makes no other one: a person slips once or twice.
Who tries for a whole day has 720 guesses, one chance in 5,800."""
OFFER_LIFETIME: Final = 600.0
"""A pending request that nobody answers expires after ten minutes."""
SOURCE_SILENCE: Final = 600.0
"""A connected source that sends neither word nor content of an undecided handoff for so long is given up: its first
picture of a large folder may take minutes, and twice the time after which a source gives up a silent target is left."""
RELAY_CONNECT_DEADLINE: Final = 5.0
RELAY_SEGMENT: Final = 1220
"""Largest TCP segment to and from a relay: 1,280 bytes, which every path of IPv6 carries, less 60 of headers. Paths
that swallow longer packets without a word exist, and WebRTC's packets fit them as well."""
IDLE_CONNECTION: Final = 60.0
"""A connection without a handoff on it closes after this."""

# --- relay ----------------------------------------------------------------------------------------
RELAY_MAX_CLIENTS: Final = 1000
RELAY_MAX_PER_ADDRESS: Final = 32
RELAY_MESSAGES_PER_SECOND: Final = 50
RELAY_BURST: Final = 200
RELAY_MAX_ROOMS: Final = 500
ROOM_LIFETIME: Final = LINK_CODE_LIFETIME
"""A room dies after this, in seconds."""
RELAY_MAX_PRESENCE: Final = 256
"""Devices one presence question may name: a circle of devices has a handful, the answer is 9 KiB."""
MAX_NAMEPLATE: Final = 9999
"""Nameplates are 1 to 9,999: short to say, and 20 times RELAY_MAX_ROOMS."""
RELAY_ROOM_BUFFER: Final = 16
"""Messages a room keeps until its second party joins: linking sends two."""
RELAY_ROOM_BUFFER_BYTES: Final = 2 * MAX_ENVELOPE
"""Bytes a room keeps until its second party joins: 500 rooms hold 64 MB at worst."""
RELAY_ROOMS_PER_CLIENT: Final = 8
"""Rooms one connection may be in: a device links one other at a time."""
RELAY_LOOKUPS_PER_SECOND: Final = 1
RELAY_LOOKUP_BURST: Final = 30
"""Rooms opened, found and joined per address: a person needs three, a scan of all nameplates takes hours."""
RELAY_JOINS_PER_SECOND: Final = 20
RELAY_JOIN_BURST: Final = 500
"""Rooms found and joined at a relay, all addresses together: many addresses scan all nameplates in 8 minutes, when the
rooms that they found have closed; and ten people a second can still link."""
RELAY_OUTBOX_BYTES: Final = 256 * KIB
"""Queued for one client before what others send to it is refused as busy: an honest burst of offers."""
RELAY_OUTBOX_HARD_BYTES: Final = 512 * KIB
"""Queued for one client before it is disconnected: it asks without reading the answers."""
RELAY_STALL: Final = 10.0
"""A client that takes nothing for so many seconds is disconnected."""
RELAY_HEARTBEAT: Final = 20.0
"""Seconds between WebSocket pings: below the 30 s after which home routers forget an idle connection."""
RELAY_LOGIN_DEADLINE: Final = 5.0
RELAY_REQUEST_DEADLINE: Final = 5.0
"""A relay that does not answer a request within this is silent: answers need no other party."""
RELAY_CLIENT_QUEUE: Final = 256
"""Envelopes or room messages a client keeps unread: more come only from a hostile relay or peer."""
RELAY_RETRY_MIN: Final = 0.5
RELAY_RETRY_MAX: Final = 60.0
"""Bounds of the pause before a lost relay is dialled again."""
RELAY_HURRY: Final = 1.0
"""Seconds between two attempts at a lost relay while a session is in doubt: as often as the device is dialled."""
RELAY_STABLE_AFTER: Final = 10.0
"""A connection that lasted this long resets the pause."""

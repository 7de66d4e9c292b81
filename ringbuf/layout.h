/* Rendered by `python -m ringbuf layout ringbuf.layout shm_exchange.messages shm_exchange.market shm_exchange.journal_layout --write`; do not edit. */

#ifndef RINGBUF_LAYOUT_H
#define RINGBUF_LAYOUT_H

#include <stdint.h>

/* ringbuf.layout */

#define SEGMENT_HEADER_SIZE 256
#define SEGMENT_HEADER_MAGIC 0
#define SEGMENT_HEADER_VERSION 8
#define SEGMENT_HEADER_SEGMENT_SIZE 16
#define SEGMENT_HEADER_KIND 24
#define SEGMENT_HEADER_DIGEST 32
#define SEGMENT_HEADER_FRAME_DIGEST 40
#define SEGMENT_HEADER_IDENTITY 48
#define SEGMENT_HEADER_CAPACITY 56
#define SEGMENT_HEADER_RECORD_SIZE 64
#define SEGMENT_HEADER_CREATED_NS 72
#define SEGMENT_HEADER_CREATOR 80
#define SEGMENT_HEADER_RESERVED_0 88
struct segment_header {
    int64_t magic;
    int64_t version;
    int64_t segment_size;
    int64_t kind;
    int64_t digest;
    int64_t frame_digest;
    int64_t identity;
    int64_t capacity;
    int64_t record_size;
    int64_t created_ns;
    int64_t creator;
    uint8_t reserved_0[168];
};
_Static_assert(sizeof(struct segment_header) == 256, "size");

#define BROADCAST_CURSORS_SIZE 256
#define BROADCAST_CURSORS_CLAIMED 0
#define BROADCAST_CURSORS_RESERVED_0 8
#define BROADCAST_CURSORS_PUBLISHED 64
#define BROADCAST_CURSORS_RESERVED_1 72
#define BROADCAST_CURSORS_RECORDED 128
#define BROADCAST_CURSORS_DURABLE 136
#define BROADCAST_CURSORS_RESERVED_2 144
struct broadcast_cursors {
    int64_t claimed;
    uint8_t reserved_0[56];
    int64_t published;
    uint8_t reserved_1[56];
    int64_t recorded;
    int64_t durable;
    uint8_t reserved_2[112];
};
_Static_assert(sizeof(struct broadcast_cursors) == 256, "size");

#define SPSC_CURSORS_SIZE 256
#define SPSC_CURSORS_PUBLISHED 0
#define SPSC_CURSORS_INCARNATION 8
#define SPSC_CURSORS_RESERVED_0 16
#define SPSC_CURSORS_CONSUMED 128
#define SPSC_CURSORS_RESERVED_1 136
struct spsc_cursors {
    int64_t published;
    int64_t incarnation;
    uint8_t reserved_0[112];
    int64_t consumed;
    uint8_t reserved_1[120];
};
_Static_assert(sizeof(struct spsc_cursors) == 256, "size");

#define WRITER_LOCK_SIZE 128
#define WRITER_LOCK_WORD 0
#define WRITER_LOCK_MUTEX 4
#define WRITER_LOCK_RESERVED_0 64
struct writer_lock {
    int32_t word;
    int32_t mutex[15];
    int32_t reserved_0[16];
};
_Static_assert(sizeof(struct writer_lock) == 128, "size");

#define DOORBELLS_SIZE 64
#define DOORBELLS_ASLEEP 0
struct doorbells {
    uint8_t asleep[64];
};
_Static_assert(sizeof(struct doorbells) == 64, "size");

#define CONTROL_WORDS_SIZE 256
#define CONTROL_WORDS_STOP 0
#define CONTROL_WORDS_HANDOVER 8
#define CONTROL_WORDS_BEGIN_ANEW 16
#define CONTROL_WORDS_SNAPSHOT 24
#define CONTROL_WORDS_OPEN 32
#define CONTROL_WORDS_SAID 40
#define CONTROL_WORDS_SNAPSHOT_EVERY 48
#define CONTROL_WORDS_RESERVED_0 56
#define CONTROL_WORDS_EPOCH 128
#define CONTROL_WORDS_ATTEMPTING 136
#define CONTROL_WORDS_CRASHED 144
#define CONTROL_WORDS_SUSPECT 152
#define CONTROL_WORDS_STRIKES 160
#define CONTROL_WORDS_ENDED_NS 168
#define CONTROL_WORDS_RESERVED_1 176
struct control_words {
    int64_t stop;
    int64_t handover;
    int64_t begin_anew;
    int64_t snapshot;
    int64_t open;
    int64_t said;
    int64_t snapshot_every;
    int64_t reserved_0[9];
    int64_t epoch;
    int64_t attempting;
    int64_t crashed;
    int64_t suspect;
    int64_t strikes;
    int64_t ended_ns;
    int64_t reserved_1[10];
};
_Static_assert(sizeof(struct control_words) == 256, "size");

#define PROCESS_SIZE 256
#define PROCESS_PID 0
#define PROCESS_STARTED_NS 8
#define PROCESS_ROLE 16
#define PROCESS_POLICY 17
#define PROCESS_STATE 18
#define PROCESS_RESERVED_0 19
#define PROCESS_SOURCE 20
#define PROCESS_ENGINE 22
#define PROCESS_POSITION 24
#define PROCESS_HEARTBEAT_NS 32
#define PROCESS_EPOCH 40
#define PROCESS_LOOPS 48
#define PROCESS_WORK 56
#define PROCESS_CLIENTS 64
#define PROCESS_ERRORS 72
#define PROCESS_ATTESTED 80
#define PROCESS_DIFFERS 88
#define PROCESS_CONDEMNED 96
#define PROCESS_RESERVED_1 104
#define PROCESS_COUNTER 128
struct process {
    int64_t pid;
    int64_t started_ns;
    uint8_t role;
    uint8_t policy;
    uint8_t state;
    uint8_t reserved_0;
    uint16_t source;
    uint16_t engine;
    int64_t position;
    int64_t heartbeat_ns;
    int64_t epoch;
    int64_t loops;
    int64_t work;
    int64_t clients;
    int64_t errors;
    int64_t attested;
    int64_t differs;
    int64_t condemned;
    int64_t reserved_1[3];
    int64_t counter[16];
};
_Static_assert(sizeof(struct process) == 256, "size");

#define CONTROL_SIZE 17024
#define CONTROL_LOCK 0
#define CONTROL_RESERVED_0 128
#define CONTROL_DOORBELLS 256
#define CONTROL_RESERVED_1 320
#define CONTROL_WORDS 384
#define CONTROL_PROCESSES 640
struct control {
    int32_t lock[32];
    uint8_t reserved_0[128];
    uint8_t doorbells[64];
    uint8_t reserved_1[64];
    int64_t words[32];
    int64_t processes[2048];
};
_Static_assert(sizeof(struct control) == 17024, "size");

#define COUNTER_SIZE 64
#define COUNTER_VALUE 0
#define COUNTER_OWNER 8
#define COUNTER_LABEL 16
struct counter {
    int64_t value;
    int64_t owner;
    uint8_t label[48];
};
_Static_assert(sizeof(struct counter) == 64, "size");

#define HISTOGRAM_SIZE 9344
#define HISTOGRAM_COUNT 0
#define HISTOGRAM_TOTAL 8
#define HISTOGRAM_MAXIMUM 16
#define HISTOGRAM_OWNER 24
#define HISTOGRAM_LABEL 32
#define HISTOGRAM_RESERVED_0 80
#define HISTOGRAM_BUCKETS 128
struct histogram {
    int64_t count;
    int64_t total;
    int64_t maximum;
    int64_t owner;
    uint8_t label[48];
    int64_t reserved_0[6];
    int64_t buckets[1152];
};
_Static_assert(sizeof(struct histogram) == 9344, "size");

/* shm_exchange.messages */

#define COMMAND_SIZE 64
#define COMMAND_KIND 0
#define COMMAND_FLAGS 1
#define COMMAND_CONTINUATIONS 2
#define COMMAND_SIDE 3
#define COMMAND_INSTRUMENT 4
#define COMMAND_REASON 6
#define COMMAND_GENERATION 8
#define COMMAND_FIRM 12
#define COMMAND_CROSS_TYPE 14
#define COMMAND_CUSTOMER_TYPE 15
#define COMMAND_RECEIVED_NS 16
#define COMMAND_PRICE 24
#define COMMAND_QUANTITY 28
#define COMMAND_SLOT 32
#define COMMAND_USER_REF 36
#define COMMAND_SESSION 40
#define COMMAND_USER_REF_INDEX 42
#define COMMAND_CAPACITY 43
#define COMMAND_ORIGINAL_USER_REF 44
#define COMMAND_CLIENT_ORDER_ID_0 48
#define COMMAND_CLIENT_ORDER_ID_1 56
#define COMMAND_CLIENT_ORDER_ID_2 60
#define COMMAND_TIME_IN_FORCE 62
#define COMMAND_DISPLAY 63
#define COMMAND_FIRM_NAME 48
#define COMMAND_GROUP_ID 52
#define COMMAND_WINDOW_US 48
#define COMMAND_EXECUTIONS 54
#define COMMAND_FROZEN_US 56
#define COMMAND_ASK_SLOT 48
#define COMMAND_ASK_PRICE 52
#define COMMAND_ASK_QUANTITY 56
#define COMMAND_REFERENCE 48
#define COMMAND_TAKER_SESSION 56
#define COMMAND_TAKER_USER_REF_INDEX 58
#define COMMAND_TAKER_USER_REF 44

#define ORDER_TAGS_SIZE 64
#define ORDER_TAGS_KIND 0
#define ORDER_TAGS_PROTECTION_GROUP 1
#define ORDER_TAGS_SELF_MATCH_MODE 2
#define ORDER_TAGS_CUSTOMER_TYPE 3
#define ORDER_TAGS_GROUP_ID 4
#define ORDER_TAGS_SELF_MATCH_GROUP 6
#define ORDER_TAGS_PRESENT 8
#define ORDER_TAGS_MINIMUM_QUANTITY 16
#define ORDER_TAGS_DISPLAY_QUANTITY 20
#define ORDER_TAGS_EXPIRE_SECONDS 24
#define ORDER_TAGS_FIRM 28
#define ORDER_TAGS_LOCATE_BROKER 32
#define ORDER_TAGS_HANDLE_INSTRUCTION 36
#define ORDER_TAGS_TRADE_NOW 37
#define ORDER_TAGS_SHARES_LOCATED 38
#define ORDER_TAGS_POST_ONLY 39
#define ORDER_TAGS_SHARES_AHEAD 40
#define ORDER_TAGS_POST_ONLY_REJECT 44
#define ORDER_TAGS_RESERVED_0 45
#define ORDER_TAGS_QUOTE_ID 46
#define ORDER_TAGS_RECEIVED_NS 48
#define ORDER_TAGS_ENQUEUED_NS 56
struct order_tags {
    uint8_t kind;
    uint8_t protection_group;
    uint8_t self_match_mode;
    uint8_t customer_type;
    uint16_t group_id;
    uint16_t self_match_group;
    int64_t present;
    int32_t minimum_quantity;
    int32_t display_quantity;
    int32_t expire_seconds;
    int32_t firm;
    int32_t locate_broker;
    uint8_t handle_instruction;
    uint8_t trade_now;
    uint8_t shares_located;
    uint8_t post_only;
    int32_t shares_ahead;
    uint8_t post_only_reject;
    uint8_t reserved_0;
    uint16_t quote_id;
    int64_t received_ns;
    int64_t enqueued_ns;
};
_Static_assert(sizeof(struct order_tags) == 64, "size");

#define EVENT_SIZE 64
#define EVENT_KIND 0
#define EVENT_FLAGS 1
#define EVENT_CONTINUATIONS 2
#define EVENT_SIDE 3
#define EVENT_INSTRUMENT 4
#define EVENT_REASON 6
#define EVENT_SOURCE_NEXT 8
#define EVENT_TIME_NS 16
#define EVENT_PRICE 24
#define EVENT_QUANTITY 28
#define EVENT_SLOT 32
#define EVENT_USER_REF 36
#define EVENT_SESSION 40
#define EVENT_USER_REF_INDEX 42
#define EVENT_CAPACITY 43
#define EVENT_ORIGINAL_USER_REF 44
#define EVENT_CLIENT_ORDER_ID_0 48
#define EVENT_CLIENT_ORDER_ID_1 56
#define EVENT_CLIENT_ORDER_ID_2 60
#define EVENT_TIME_IN_FORCE 62
#define EVENT_DISPLAY 63
#define EVENT_LIQUIDITY 43
#define EVENT_TAKER_SESSION 44
#define EVENT_TAKER_USER_REF_INDEX 46
#define EVENT_TAKER_LIQUIDITY 47
#define EVENT_REFERENCE 48
#define EVENT_TAKER_SLOT 56
#define EVENT_TAKER_USER_REF 60
#define EVENT_LEAVES 44
#define EVENT_UNUSED_USER_REF 60
#define EVENT_CAUSE 43
#define EVENT_DISPLAYED 56
#define EVENT_DONE 56
#define EVENT_COMMAND_KIND 63
#define EVENT_GENERATION 44
#define EVENT_EPOCH 48
#define EVENT_PROCESS 56
#define EVENT_LIMIT 48
#define EVENT_FIRM_NAME 48
#define EVENT_GROUP_ID 52
#define EVENT_WINDOW_US 48
#define EVENT_EXECUTIONS 54
#define EVENT_FROZEN_US 44
#define EVENT_FROZEN_UNTIL_NS 56
#define EVENT_STREAM_0 48
#define EVENT_STREAM_1 56

/* shm_exchange.market */

#define ORDER_SIZE 64
#define ORDER_REFERENCE 0
#define ORDER_STATE 8
#define ORDER_FLAGS 9
#define ORDER_PROTECTION_GROUP 10
#define ORDER_SIDE 11
#define ORDER_INSTRUMENT 12
#define ORDER_TIME_IN_FORCE 14
#define ORDER_DISPLAY 15
#define ORDER_PRICE 16
#define ORDER_LEAVES 20
#define ORDER_NEXT 24
#define ORDER_USER_REF 28
#define ORDER_SESSION 32
#define ORDER_USER_REF_INDEX 34
#define ORDER_CAPACITY 35
#define ORDER_EXECUTED 36
#define ORDER_PREVIOUS 40
#define ORDER_LEVEL 44
#define ORDER_DISPLAYED 48
#define ORDER_DECREMENTED 52
#define ORDER_EXPIRY 56
#define ORDER_DISPLAY_QUANTITY 60
struct order {
    int64_t reference;
    uint8_t state;
    uint8_t flags;
    uint8_t protection_group;
    uint8_t side;
    uint16_t instrument;
    uint8_t time_in_force;
    uint8_t display;
    int32_t price;
    int32_t leaves;
    int32_t next;
    uint32_t user_ref;
    uint16_t session;
    uint8_t user_ref_index;
    uint8_t capacity;
    int32_t executed;
    int32_t previous;
    int32_t level;
    int32_t displayed;
    int32_t decremented;
    int32_t expiry;
    int32_t display_quantity;
};
_Static_assert(sizeof(struct order) == 64, "size");

#define EXPIRY_SIZE 16
#define EXPIRY_DUE_NS 0
#define EXPIRY_SLOT 8
#define EXPIRY_RESERVED_0 12
struct expiry {
    int64_t due_ns;
    int32_t slot;
    int32_t reserved_0;
};
_Static_assert(sizeof(struct expiry) == 16, "size");

#define PROTECTION_SIZE 80
#define PROTECTION_WINDOW_NS 0
#define PROTECTION_FROZEN_NS 8
#define PROTECTION_FROZEN_UNTIL_NS 16
#define PROTECTION_QUANTITY 24
#define PROTECTION_NET 32
#define PROTECTION_EXECUTION_LIMIT 40
#define PROTECTION_QUANTITY_LIMIT 44
#define PROTECTION_NET_LIMIT 48
#define PROTECTION_FIRST 52
#define PROTECTION_EXECUTIONS 56
#define PROTECTION_SESSION 60
#define PROTECTION_GROUP_ID 62
#define PROTECTION_INSTRUMENT 64
#define PROTECTION_DUE 66
#define PROTECTION_RESERVED_0 67
#define PROTECTION_RESERVED_1 68
#define PROTECTION_RESERVED_2 72
struct protection {
    int64_t window_ns;
    int64_t frozen_ns;
    int64_t frozen_until_ns;
    int64_t quantity;
    int64_t net;
    int32_t execution_limit;
    int32_t quantity_limit;
    int32_t net_limit;
    int32_t first;
    int32_t executions;
    uint16_t session;
    uint16_t group_id;
    uint16_t instrument;
    uint8_t due;
    uint8_t reserved_0;
    int32_t reserved_1;
    int64_t reserved_2;
};
_Static_assert(sizeof(struct protection) == 80, "size");

#define FILL_SIZE 16
#define FILL_TIME_NS 0
#define FILL_QUANTITY 8
#define FILL_RESERVED_0 12
struct fill {
    int64_t time_ns;
    int32_t quantity;
    int32_t reserved_0;
};
_Static_assert(sizeof(struct fill) == 16, "size");

#define SESSION_LINK_SIZE 8
#define SESSION_LINK_NEXT 0
#define SESSION_LINK_PREVIOUS 4
struct session_link {
    int32_t next;
    int32_t previous;
};
_Static_assert(sizeof(struct session_link) == 8, "size");

#define LEVEL_SIZE 16
#define LEVEL_FIRST 0
#define LEVEL_LAST 4
#define LEVEL_HIDDEN_FIRST 8
#define LEVEL_HIDDEN_LAST 12
struct level {
    int32_t first;
    int32_t last;
    int32_t hidden_first;
    int32_t hidden_last;
};
_Static_assert(sizeof(struct level) == 16, "size");

#define BRANCH_SIZE 8
#define BRANCH_UPPER 0
#define BRANCH_NODE 4
struct branch {
    int32_t upper;
    int32_t node;
};
_Static_assert(sizeof(struct branch) == 8, "size");

#define BOOK_SIDE_SIZE 64
#define BOOK_SIDE_BEST 0
#define BOOK_SIDE_MIRROR 8
#define BOOK_SIDE_ROOT 16
#define BOOK_SIDE_TOP_SHIFT 20
#define BOOK_SIDE_BEST_LEVEL 24
#define BOOK_SIDE_RESERVED_0 28
#define BOOK_SIDE_RESERVED_1 32
struct book_side {
    int64_t best;
    int64_t mirror;
    int32_t root;
    int32_t top_shift;
    int32_t best_level;
    int32_t reserved_0;
    int64_t reserved_1[4];
};
_Static_assert(sizeof(struct book_side) == 64, "size");

#define INSTRUMENT_SIZE 64
#define INSTRUMENT_SYMBOL 0
#define INSTRUMENT_TICK 8
#define INSTRUMENT_PRICE_MIN 16
#define INSTRUMENT_PRICE_MAX 20
#define INSTRUMENT_LOT 24
#define INSTRUMENT_QUANTITY_MAX 28
#define INSTRUMENT_STATE 32
#define INSTRUMENT_LISTED 33
#define INSTRUMENT_RESERVED_0 34
#define INSTRUMENT_PRICE_LAST 36
#define INSTRUMENT_STATE_REASON 40
#define INSTRUMENT_RESERVED_1 44
#define INSTRUMENT_RESERVED_2 48
struct instrument {
    int64_t symbol;
    int64_t tick;
    int32_t price_min;
    int32_t price_max;
    int32_t lot;
    int32_t quantity_max;
    uint8_t state;
    uint8_t listed;
    uint8_t reserved_0[2];
    int32_t price_last;
    int32_t state_reason;
    int32_t reserved_1;
    int64_t reserved_2[2];
};
_Static_assert(sizeof(struct instrument) == 64, "size");

#define SESSION_SIZE 64
#define SESSION_MESSAGES 0
#define SESSION_GENERATION 8
#define SESSION_GATEWAY 12
#define SESSION_CONNECTED 14
#define SESSION_DISABLED 15
#define SESSION_CONNECTION 16
#define SESSION_KNOWN 20
#define SESSION_CANCEL_ON_DISCONNECT 21
#define SESSION_SELF_TRADE 22
#define SESSION_SELF_TRADE_SCOPE 23
#define SESSION_FIRM 24
#define SESSION_SELF_TRADE_GROUP 28
#define SESSION_PROTECTIONS 30
#define SESSION_RESERVED_2 32
#define SESSION_COPIES 56
#define SESSION_COPIES_NEXT 58
#define SESSION_DROP_COPY 60
#define SESSION_RESERVED_3 61
struct session {
    int64_t messages;
    uint32_t generation;
    uint16_t gateway;
    uint8_t connected;
    uint8_t disabled;
    int32_t connection;
    uint8_t known;
    uint8_t cancel_on_disconnect;
    uint8_t self_trade;
    uint8_t self_trade_scope;
    int32_t firm;
    uint16_t self_trade_group;
    uint16_t protections;
    int64_t reserved_2[3];
    uint16_t copies;
    uint16_t copies_next;
    uint8_t drop_copy;
    uint8_t reserved_3[3];
};
_Static_assert(sizeof(struct session) == 64, "size");

#define GATEWAY_SIZE 64
#define GATEWAY_COMMAND_NEXT 0
#define GATEWAY_INCARNATION 8
#define GATEWAY_SLOTS_HIGH_WATER 16
#define GATEWAY_ALIVE 20
#define GATEWAY_RESERVED_0 24
struct gateway {
    int64_t command_next;
    int64_t incarnation;
    int32_t slots_high_water;
    int32_t alive;
    int64_t reserved_0[5];
};
_Static_assert(sizeof(struct gateway) == 64, "size");

#define SCALARS_SIZE 192
#define SCALARS_POSITION 0
#define SCALARS_STAMP_NS 8
#define SCALARS_HASH 16
#define SCALARS_EPOCH 24
#define SCALARS_FEED_MESSAGES 32
#define SCALARS_TRADES 40
#define SCALARS_ORDERS 48
#define SCALARS_NODE_FREE 56
#define SCALARS_NODE_NEXT 60
#define SCALARS_LEAF_FREE 64
#define SCALARS_LEAF_NEXT 68
#define SCALARS_STREAM_0 72
#define SCALARS_STREAM_1 80
#define SCALARS_SLOTS_PER_GATEWAY 88
#define SCALARS_ENGINE 92
#define SCALARS_CONTINUING 96
#define SCALARS_INSTRUMENTS_LISTED 100
#define SCALARS_CONTINUING_NEXT 104
#define SCALARS_SESSIONS_KNOWN 112
#define SCALARS_ATTESTED 120
#define SCALARS_DIFFERS 128
#define SCALARS_CONTINUING_KIND 136
#define SCALARS_ROLLED 144
#define SCALARS_STAGE 152
#define SCALARS_PAGES 156
#define SCALARS_MASS_FIRM 160
#define SCALARS_MASS_INSTRUMENT 164
#define SCALARS_MASS_SESSION 166
#define SCALARS_MASS_GROUP 168
#define SCALARS_MASS_SIDE 170
#define SCALARS_RESERVED_0 171
#define SCALARS_PROTECTIONS_DUE 172
#define SCALARS_PROTECTION_DUE 174
#define SCALARS_EXPIRIES 176
#define SCALARS_PROTECTION_BLOCKS 184
#define SCALARS_PROTECTION_FIRED 188
struct scalars {
    int64_t position;
    int64_t stamp_ns;
    int64_t hash;
    int64_t epoch;
    int64_t feed_messages;
    int64_t trades;
    int64_t orders;
    int32_t node_free;
    int32_t node_next;
    int32_t leaf_free;
    int32_t leaf_next;
    int64_t stream_0;
    int64_t stream_1;
    int32_t slots_per_gateway;
    int32_t engine;
    int32_t continuing;
    int32_t instruments_listed;
    int64_t continuing_next;
    int64_t sessions_known;
    int64_t attested;
    int64_t differs;
    int64_t continuing_kind;
    int64_t rolled;
    int32_t stage;
    int32_t pages;
    int32_t mass_firm;
    uint16_t mass_instrument;
    uint16_t mass_session;
    uint16_t mass_group;
    uint8_t mass_side;
    uint8_t reserved_0;
    uint16_t protections_due;
    uint16_t protection_due;
    int64_t expiries;
    int32_t protection_blocks;
    int32_t protection_fired;
};
_Static_assert(sizeof(struct scalars) == 192, "size");

/* shm_exchange.journal_layout */

#define JOURNAL_HEADER_SIZE 4096
#define JOURNAL_HEADER_MAGIC 0
#define JOURNAL_HEADER_VERSION 8
#define JOURNAL_HEADER_RECORD_SIZE 12
#define JOURNAL_HEADER_LAYOUT_DIGEST 16
#define JOURNAL_HEADER_IDENTITY 24
#define JOURNAL_HEADER_ENGINE 40
#define JOURNAL_HEADER_FIRST_POSITION 48
#define JOURNAL_HEADER_CREATED_NS 56
#define JOURNAL_HEADER_PREVIOUS_CHECKSUM 64
#define JOURNAL_HEADER_STREAM 72
#define JOURNAL_HEADER_RESERVED_0 88
#define JOURNAL_HEADER_CHECKSUM 4088
struct journal_header {
    int64_t magic;
    uint32_t version;
    uint32_t record_size;
    int64_t layout_digest;
    uint8_t identity[16];
    int64_t engine;
    int64_t first_position;
    int64_t created_ns;
    uint64_t previous_checksum;
    uint8_t stream[16];
    uint8_t reserved_0[4000];
    uint64_t checksum;
};
_Static_assert(sizeof(struct journal_header) == 4096, "size");

#define BLOCK_HEADER_SIZE 64
#define BLOCK_HEADER_MAGIC 0
#define BLOCK_HEADER_KIND 4
#define BLOCK_HEADER_FLAGS 5
#define BLOCK_HEADER_RESERVED_0 6
#define BLOCK_HEADER_FIRST_POSITION 8
#define BLOCK_HEADER_COUNT 16
#define BLOCK_HEADER_RESERVED_1 20
#define BLOCK_HEADER_WRITTEN_NS 24
#define BLOCK_HEADER_DURABLE 32
#define BLOCK_HEADER_RECORDS_CHECKSUM 40
#define BLOCK_HEADER_PREVIOUS_CHECKSUM 48
#define BLOCK_HEADER_CHECKSUM 56
struct block_header {
    uint32_t magic;
    uint8_t kind;
    uint8_t flags;
    uint16_t reserved_0;
    int64_t first_position;
    uint32_t count;
    uint32_t reserved_1;
    int64_t written_ns;
    int64_t durable;
    uint64_t records_checksum;
    uint64_t previous_checksum;
    uint64_t checksum;
};
_Static_assert(sizeof(struct block_header) == 64, "size");

#define SNAPSHOT_HEADER_SIZE 1024
#define SNAPSHOT_HEADER_MAGIC 0
#define SNAPSHOT_HEADER_VERSION 8
#define SNAPSHOT_HEADER_SECTION_COUNT 12
#define SNAPSHOT_HEADER_LAYOUT_DIGEST 16
#define SNAPSHOT_HEADER_IDENTITY 24
#define SNAPSHOT_HEADER_ENGINE 40
#define SNAPSHOT_HEADER_POSITION 48
#define SNAPSHOT_HEADER_CREATED_NS 56
#define SNAPSHOT_HEADER_FILE_SIZE 64
#define SNAPSHOT_HEADER_SECTIONS_CHECKSUM 72
#define SNAPSHOT_HEADER_RESERVED_0 80
#define SNAPSHOT_HEADER_CHECKSUM 1016
struct snapshot_header {
    int64_t magic;
    uint32_t version;
    uint32_t section_count;
    int64_t layout_digest;
    uint8_t identity[16];
    int64_t engine;
    int64_t position;
    int64_t created_ns;
    int64_t file_size;
    uint64_t sections_checksum;
    uint8_t reserved_0[936];
    uint64_t checksum;
};
_Static_assert(sizeof(struct snapshot_header) == 1024, "size");

#define SNAPSHOT_SECTION_SIZE 64
#define SNAPSHOT_SECTION_NAME 0
#define SNAPSHOT_SECTION_ITEM_SIZE 24
#define SNAPSHOT_SECTION_ITEMS 32
#define SNAPSHOT_SECTION_OFFSET 40
#define SNAPSHOT_SECTION_CHECKSUM 48
#define SNAPSHOT_SECTION_RESERVED_0 56
struct snapshot_section {
    uint8_t name[24];
    int64_t item_size;
    int64_t items;
    int64_t offset;
    uint64_t checksum;
    int64_t reserved_0;
};
_Static_assert(sizeof(struct snapshot_section) == 64, "size");

#endif

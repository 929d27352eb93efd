/**
 * The parameter server, as Thrift clients see it: the plain binary protocol over a stream.
 *
 * A connection begins with `authenticate`; before that, any other call is answered by AccessDenied
 * and the connection ends. Vectors travel as `binary`: the bytes of comm/wire.py, in pieces of at
 * most Welcome.frame_bytes, in order. Calls may be sent before earlier ones are answered.
 */
namespace py ps_server.generated.thrift_api

enum Rule { BULK_SYNCHRONOUS = 1, ASYNCHRONOUS = 2, STALE_SYNCHRONOUS = 3 }
enum Compression { NONE = 0, FLOAT16 = 1 }

struct Step {
  1: required i32 epoch,
  2: required i32 batch,
}

struct JobSettings {
  1: required i32 world_size,
  2: required i64 message_bytes,
  3: required Rule rule,
  4: required i32 max_staleness,
  5: required Compression compression,
  6: required string server_update,
}

struct Welcome {
  1: required string incarnation,
  2: required i32 frame_bytes,
}

struct Registration {
  1: required string incarnation,
  2: required bool is_new,
  3: required bool is_restored,
}

struct Pushed {
  1: required bool is_repeated,
  2: required i64 version,
  3: required i64 staleness,
}

struct StepStatus {
  1: required list<i32> ranks,
  2: required bool is_complete,
}

/** A piece of a message of `size` bytes. */
struct Pulled {
  1: required i64 size,
  2: required binary piece,
}

struct JobStatistics {
  1: required string job,
  2: required string rule,
  3: required i32 world_size,
  4: required i32 ranks,
  5: required i32 steps,
  6: required i64 held_bytes,
  7: required i64 pushes,
  8: required i64 repeated_pushes,
  9: required i64 pulls,
  10: required i64 received_bytes,
  11: required i64 sent_bytes,
  12: required double waited_s,
  13: required i64 updates,
  14: required i64 staleness_sum,
  15: required i64 staleness_max,
  16: required i64 lost_updates,
  17: required double idle_s,
}

struct Statistics {
  1: required string incarnation,
  2: required double uptime_s,
  3: required i32 connections,
  4: required i64 reserved_bytes,
  5: required i64 used_bytes,
  6: required i64 limit_bytes,
  7: required list<JobStatistics> jobs,
}

exception AccessDenied { 1: required string message }
exception InvalidRequest { 1: required string message }
exception UnknownJob { 1: required string message }
exception JobConflict { 1: required string message }
exception MemoryExceeded {
  1: required string message,
  2: required i64 needed_bytes,
  3: required i64 free_bytes,
  4: required i64 limit_bytes,
}
exception ContributionsMissing {
  1: required string message,
  2: required list<i32> ranks,
  3: required i32 frontier,
}
exception StepForgotten { 1: required string message }
exception DamagedVector { 1: required string message }
exception Draining { 1: required string message }

// All fields of `push` and `pull` have to be there, in this order, as compilers of Thrift write them.
service ParameterServer {
  /** Show the deployment's token; the first call of every connection. */
  Welcome authenticate(1: string token) throws (1: AccessDenied denied),

  Welcome ping() throws (1: AccessDenied denied),

  /** Set memory aside for a job; a repetition changes nothing. */
  Registration register_job(1: string job, 2: JobSettings settings) throws (
    1: AccessDenied denied, 2: InvalidRequest invalid, 3: JobConflict conflict,
    4: MemoryExceeded memory, 5: Draining draining),

  /** Return the ranks that have pushed to a step. */
  StepStatus exists(1: string job, 2: Step step) throws (
    1: AccessDenied denied, 2: InvalidRequest invalid, 3: UnknownJob unknown),

  /**
   * Push a piece of a rank's contribution to a step. It counts once, with its last piece; repetitions
   * change nothing. Rank -1 pushes the sum of all ranks.
   */
  Pushed push(1: string job, 2: Step step, 3: i32 rank, 4: string attempt, 5: i64 based_on,
              6: i64 size, 7: i64 offset, 8: binary piece) throws (
    1: AccessDenied denied, 2: InvalidRequest invalid, 3: UnknownJob unknown,
    4: MemoryExceeded memory, 5: StepForgotten forgotten, 6: DamagedVector damaged,
    7: Draining draining),

  /** Wait for a step's sum, or the model, and get at most `limit` bytes of it from `offset` on. */
  Pulled pull(1: string job, 2: Step step, 3: i32 rank, 4: string attempt, 5: i32 wait_ms,
              6: i64 offset, 7: i32 limit) throws (
    1: AccessDenied denied, 2: InvalidRequest invalid, 3: UnknownJob unknown,
    4: ContributionsMissing missing, 5: StepForgotten forgotten, 6: Draining draining),

  /** Drop all steps of an epoch up to this one. */
  void forget(1: string job, 2: Step through) throws (
    1: AccessDenied denied, 2: InvalidRequest invalid, 3: UnknownJob unknown),

  /** Drop all steps of an epoch as if there had been none; epoch 0: of all epochs. */
  void reset(1: string job, 2: i32 epoch) throws (
    1: AccessDenied denied, 2: InvalidRequest invalid, 3: UnknownJob unknown),

  /** Delete all jobs whose names begin with a prefix; return how many. */
  i32 delete_jobs(1: string prefix) throws (1: AccessDenied denied, 2: InvalidRequest invalid),

  Statistics statistics() throws (1: AccessDenied denied),
}

/*
 * The C client library against one server, named in the first argument.
 *
 * Prints "ok NAME" or "FAILED NAME: why" for each check. Before the last one it
 * prints "RESTART" and goes on when a line comes in: the server has then been
 * stopped and started on the same directory and port.
 */
#define THREADED
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zookeeper/zookeeper.h>

#define WAIT_S 20
#define TIMEOUT_MS 30000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int connections;    /* under lock: how often a session came to be or came back */
static char event[256];    /* under lock: the last event of a node, "" if taken */
static int failed;

#define CHECK(condition)                                            \
    do {                                                            \
        if (!(condition)) {                                         \
            snprintf(why, sizeof why, "line %d: %s", __LINE__, #condition); \
            return why;                                             \
        }                                                           \
    } while (0)

static char why[256];

static void watcher(zhandle_t *zh, int type, int state, const char *path, void *context)
{
    (void)zh;
    (void)context;
    pthread_mutex_lock(&lock);
    if (type == ZOO_SESSION_EVENT)
        connections += state == ZOO_CONNECTED_STATE;
    else
        snprintf(event, sizeof event, "%d %s", type, path);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void deadline(struct timespec *at)
{
    clock_gettime(CLOCK_REALTIME, at);
    at->tv_sec += WAIT_S;
}

static int wait_connected(int wanted)
{
    struct timespec at;
    int late = 0, result;
    deadline(&at);
    pthread_mutex_lock(&lock);
    while (connections < wanted && !late)
        late = pthread_cond_timedwait(&changed, &lock, &at);
    result = connections >= wanted;
    pthread_mutex_unlock(&lock);
    return result;
}

/* Waits for the event of a node and takes it. */
static int saw(int type, const char *path)
{
    char wanted[256];
    struct timespec at;
    int late = 0, same;
    snprintf(wanted, sizeof wanted, "%d %s", type, path);
    deadline(&at);
    pthread_mutex_lock(&lock);
    while (event[0] == 0 && !late)
        late = pthread_cond_timedwait(&changed, &lock, &at);
    same = strcmp(event, wanted) == 0;
    event[0] = 0;
    pthread_mutex_unlock(&lock);
    return same;
}

static const char *create_and_read(zhandle_t *zh)
{
    char path[256], data[64];
    int length = sizeof data;
    struct Stat stat;
    struct String_vector names;
    CHECK(zoo_create(zh, "/c", "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path) == ZOK);
    CHECK(strcmp(path, "/c") == 0);
    CHECK(zoo_create(zh, "/c", "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0) == ZNODEEXISTS);
    CHECK(zoo_create(zh, "/c/none/x", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0) == ZNONODE);
    CHECK(zoo_create(zh, "/c/s-", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, path, sizeof path) == ZOK);
    CHECK(strcmp(path, "/c/s-0000000000") == 0);
    CHECK(zoo_create(zh, "/c/e", "", 0, &ZOO_READ_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0) == ZOK);
    CHECK(zoo_get(zh, "/c", 0, data, &length, &stat) == ZOK);
    CHECK(length == 3 && memcmp(data, "one", 3) == 0);
    CHECK(stat.numChildren == 2 && stat.cversion == 2 && stat.version == 0 && stat.dataLength == 3);
    length = sizeof data;
    CHECK(zoo_get(zh, "/c/s-0000000000", 0, data, &length, &stat) == ZOK);
    CHECK(length == -1);
    CHECK(zoo_exists(zh, "/c/e", 0, &stat) == ZOK);
    CHECK(stat.ephemeralOwner == zoo_client_id(zh)->client_id);
    CHECK(zoo_get_children2(zh, "/c", 0, &names, &stat) == ZOK);
    CHECK(names.count == 2);
    deallocate_String_vector(&names);
    CHECK(zoo_set2(zh, "/c", "two!", 4, 0, &stat) == ZOK);
    CHECK(stat.version == 1);
    CHECK(zoo_set(zh, "/c", "no", 2, 0) == ZBADVERSION);
    CHECK(zoo_delete(zh, "/c", -1) == ZNOTEMPTY);
    CHECK(zoo_create(zh, "/c/e/x", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0) == ZNOAUTH);
    CHECK(zoo_create(zh, "/c/f", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, NULL, 0) == ZOK);
    CHECK(zoo_create(zh, "/c/f/x", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0)
          == ZNOCHILDRENFOREPHEMERALS);
    return NULL;
}

static const char *watches(zhandle_t *zh)
{
    struct Stat stat;
    struct String_vector names;
    CHECK(zoo_exists(zh, "/w", 1, &stat) == ZNONODE);
    CHECK(zoo_create(zh, "/w", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0) == ZOK);
    CHECK(saw(ZOO_CREATED_EVENT, "/w"));
    CHECK(zoo_exists(zh, "/w", 1, &stat) == ZOK);
    CHECK(zoo_set(zh, "/w", "x", 1, -1) == ZOK);
    CHECK(saw(ZOO_CHANGED_EVENT, "/w"));
    CHECK(zoo_get_children(zh, "/w", 1, &names) == ZOK);
    CHECK(zoo_create(zh, "/w/c", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0) == ZOK);
    CHECK(saw(ZOO_CHILD_EVENT, "/w"));
    CHECK(zoo_delete(zh, "/w/c", -1) == ZOK);
    CHECK(zoo_exists(zh, "/w", 1, &stat) == ZOK);
    CHECK(zoo_delete(zh, "/w", 1) == ZOK);
    CHECK(saw(ZOO_DELETED_EVENT, "/w"));
    return NULL;
}

static int auth_code = 1; /* under lock; 1 = not there yet */

static void auth_done(int code, const void *context)
{
    (void)context;
    pthread_mutex_lock(&lock);
    auth_code = code;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static const char *access_lists(zhandle_t *zh)
{
    struct ACL_vector acl;
    struct Stat stat;
    struct timespec at;
    int late = 0;
    CHECK(zoo_create(zh, "/private", "", 0, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0) == ZINVALIDACL);
    CHECK(zoo_add_auth(zh, "digest", "ann:secret", 10, auth_done, NULL) == ZOK);
    deadline(&at);
    pthread_mutex_lock(&lock);
    while (auth_code == 1 && !late)
        late = pthread_cond_timedwait(&changed, &lock, &at);
    pthread_mutex_unlock(&lock);
    CHECK(auth_code == ZOK);
    CHECK(zoo_create(zh, "/private", "", 0, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0) == ZOK);
    CHECK(zoo_get_acl(zh, "/private", &acl, &stat) == ZOK);
    CHECK(acl.count == 1 && acl.data[0].perms == ZOO_PERM_ALL);
    CHECK(strcmp(acl.data[0].id.scheme, "digest") == 0);
    CHECK(strcmp(acl.data[0].id.id, "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM=") == 0);
    deallocate_ACL_vector(&acl);
    CHECK(zoo_set_acl(zh, "/private", 0, &ZOO_READ_ACL_UNSAFE) == ZOK);
    CHECK(zoo_set(zh, "/private", "", 0, -1) == ZNOAUTH);
    return NULL;
}

static const char *several_at_once(zhandle_t *zh)
{
    zoo_op_t good[4], bad[3];
    zoo_op_result_t results[4];
    char path[256];
    struct Stat stat;
    zoo_create_op_init(&good[0], "/m", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, path, sizeof path);
    zoo_check_op_init(&good[1], "/m", 0);
    zoo_set_op_init(&good[2], "/m", "x", 1, 0, &stat);
    zoo_create_op_init(&good[3], "/m/s-", "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_SEQUENCE, path, sizeof path);
    CHECK(zoo_multi(zh, 4, good, results) == ZOK);
    CHECK(stat.version == 1 && strcmp(path, "/m/s-0000000000") == 0);
    zoo_delete_op_init(&bad[0], "/m/s-0000000000", -1);
    zoo_check_op_init(&bad[1], "/m", 7);
    zoo_delete_op_init(&bad[2], "/m", -1);
    CHECK(zoo_multi(zh, 3, bad, results) == ZBADVERSION);
    CHECK(results[0].err == ZOK && results[1].err == ZBADVERSION);
    CHECK(results[2].err == ZRUNTIMEINCONSISTENCY);
    CHECK(zoo_exists(zh, "/m/s-0000000000", 0, &stat) == ZOK);
    return NULL;
}

static const char *restart(zhandle_t *zh)
{
    int64_t session = zoo_client_id(zh)->client_id;
    struct Stat stat;
    CHECK(zoo_exists(zh, "/c", 1, &stat) == ZOK);
    printf("RESTART\n");
    fflush(stdout);
    CHECK(getchar() != EOF);
    CHECK(wait_connected(2));
    CHECK(zoo_client_id(zh)->client_id == session);
    CHECK(zoo_exists(zh, "/c/e", 0, &stat) == ZOK);
    CHECK(stat.ephemeralOwner == session);
    CHECK(zoo_set(zh, "/c", "after", 5, -1) == ZOK);
    CHECK(saw(ZOO_CHANGED_EVENT, "/c"));
    return NULL;
}

static void check(const char *name, const char *(*run)(zhandle_t *), zhandle_t *zh)
{
    const char *problem = run(zh);
    if (problem)
        failed++;
    printf(problem ? "FAILED %s: %s\n" : "ok %s\n", name, problem);
    fflush(stdout);
}

int main(int count, char **arguments)
{
    zhandle_t *zh;
    if (count != 2)
        return 2;
    zoo_set_debug_level(0); /* the restart is meant, it needs no log */
    zh = zookeeper_init(arguments[1], watcher, TIMEOUT_MS, NULL, NULL, 0);
    if (!zh || !wait_connected(1)) {
        printf("FAILED connect: no session within %d s\n", WAIT_S);
        return 1;
    }
    check("create and read", create_and_read, zh);
    check("watches", watches, zh);
    check("access lists", access_lists, zh);
    check("several at once", several_at_once, zh);
    check("session, ephemerals and watches over a restart", restart, zh);
    if (zookeeper_close(zh) != ZOK)
        failed++;
    return failed ? 1 : 0;
}

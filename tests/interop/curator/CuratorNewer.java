import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.watch.PersistentWatcher;
import org.apache.curator.retry.RetryOneTime;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.data.Stat;

/**
 * What Curator 5 asks beyond 3.4, against one server, named in the first argument.
 * Prints "ok NAME" or "FAILED NAME: why" for each check.
 */
public class CuratorNewer {
    private static final int WAIT_S = 30;

    private interface Check {
        void run() throws Exception;
    }

    private final CuratorFramework one;
    private final CuratorFramework two;
    private int failed;

    public static void main(String[] arguments) throws Exception {
        CuratorNewer newer = new CuratorNewer(arguments[0]);
        newer.check("create with a stat", newer::createWithStat);
        newer.check("containers", newer::containers);
        newer.check("times to live", newer::timesToLive);
        newer.check("cache over a persistent watch", newer::cache);
        newer.check("persistent watcher", newer::persistentWatcher);
        newer.check("removed watches", newer::removedWatches);
        newer.check("latch and mutex", newer::latchAndMutex);
        newer.check("configuration", newer::configuration);
        newer.check("who am I", newer::whoAmI);
        newer.one.close();
        newer.two.close();
        System.exit(newer.failed == 0 ? 0 : 1);
    }

    CuratorNewer(String address) {
        one = connect(address);
        two = connect(address);
    }

    private static CuratorFramework connect(String address) {
        CuratorFramework client =
                CuratorFrameworkFactory.newClient(address, 20_000, 20_000, new RetryOneTime(100));
        client.start();
        return client;
    }

    private void check(String name, Check check) {
        try {
            check.run();
            System.out.println("ok " + name);
        } catch (Throwable problem) {
            failed++;
            System.out.println("FAILED " + name + ": " + problem);
        }
    }

    private void createWithStat() throws Exception {
        Stat stat = new Stat();
        one.create().storingStatIn(stat).forPath("/stat", "data".getBytes());
        expect(stat.getDataLength() == 4 && stat.getCzxid() > 0, "a stat: " + stat);
    }

    private void containers() throws Exception {
        one.create().creatingParentContainersIfNeeded().forPath("/containers/deep/child");
        one.delete().forPath("/containers/deep/child");
        until(() -> two.checkExists().forPath("/containers") == null, "both containers to go");
    }

    private void timesToLive() throws Exception {
        one.create().withTtl(500).withMode(CreateMode.PERSISTENT_WITH_TTL).forPath("/ttl");
        until(() -> two.checkExists().forPath("/ttl") == null, "the node to go");
        PersistentTtlNode kept = new PersistentTtlNode(one, "/kept", 2_000, new byte[0]);
        kept.start();
        expect(kept.waitForInitialCreate(WAIT_S, TimeUnit.SECONDS), "a node that is kept");
        kept.close();
    }

    private void cache() throws Exception {
        BlockingQueue<String> events = new LinkedBlockingQueue<>();
        CuratorCache cache = CuratorCache.build(one, "/cache");
        cache.listenable()
                .addListener(
                        CuratorCacheListener.builder()
                                .forCreates(node -> events.add("made " + node.getPath()))
                                .forChanges((before, after) -> events.add("changed " + after.getPath()))
                                .forDeletes(node -> events.add("removed " + node.getPath()))
                                .build());
        cache.start();
        two.create().creatingParentsIfNeeded().forPath("/cache/a/b", "1".getBytes());
        expectEvents(events, "made /cache", "made /cache/a", "made /cache/a/b");
        two.setData().forPath("/cache/a/b", "2".getBytes());
        expectEvents(events, "changed /cache/a/b");
        two.delete().forPath("/cache/a/b");
        expectEvents(events, "removed /cache/a/b");
        cache.close();
    }

    private void persistentWatcher() throws Exception {
        BlockingQueue<String> events = new LinkedBlockingQueue<>();
        PersistentWatcher watcher = new PersistentWatcher(one, "/watched", true);
        watcher.getListenable().addListener(event -> events.add(event.getType() + " " + event.getPath()));
        watcher.start();
        until(() -> has(one, "/watched", Watcher.WatcherType.PersistentRecursive), "the watch to be set");
        for (int round = 0; round < 2; round++) {
            two.create().creatingParentsIfNeeded().forPath("/watched/node");
            two.delete().deletingChildrenIfNeeded().forPath("/watched");
            expectEvents(
                    events,
                    "NodeCreated /watched",
                    "NodeCreated /watched/node",
                    "NodeDeleted /watched/node",
                    "NodeDeleted /watched");
        }
        watcher.close();
    }

    private static boolean has(CuratorFramework client, String path, Watcher.WatcherType type) throws Exception {
        // Setting it once more does no harm and is answered when the first one stands.
        client.watchers().add().withMode(AddWatchMode.PERSISTENT_RECURSIVE).forPath(path);
        return true;
    }

    private void removedWatches() throws Exception {
        BlockingQueue<String> events = new LinkedBlockingQueue<>();
        Watcher watcher = event -> events.add(event.getType().toString());
        one.create().forPath("/removed");
        one.getData().usingWatcher(watcher).forPath("/removed");
        one.watchers().remove(watcher).ofType(Watcher.WatcherType.Data).forPath("/removed");
        expectEvents(events, "DataWatchRemoved");
        two.setData().forPath("/removed", new byte[1]);
        one.sync().forPath("/removed");
        one.getData().forPath("/removed");
        expect(events.isEmpty(), "silence, not " + events);
        try {
            one.watchers().remove(watcher).forPath("/removed");
            throw new AssertionError("a watch that is not there was removed");
        } catch (KeeperException.NoWatcherException expected) {
            // As it should be.
        }
    }

    private void latchAndMutex() throws Exception {
        LeaderLatch first = new LeaderLatch(one, "/latch");
        first.start();
        first.await();
        LeaderLatch second = new LeaderLatch(two, "/latch");
        second.start();
        first.close();
        expect(second.await(WAIT_S, TimeUnit.SECONDS), "the second to lead");
        second.close();
        InterProcessMutex mutex = new InterProcessMutex(one, "/mutex");
        mutex.acquire();
        expect(!new InterProcessMutex(two, "/mutex").acquire(100, TimeUnit.MILLISECONDS), "a lock that holds");
        mutex.release();
        PersistentNode node = new PersistentNode(one, CreateMode.CONTAINER, false, "/node", new byte[0]);
        node.start();
        expect(node.waitForInitialCreate(WAIT_S, TimeUnit.SECONDS), "a container that is kept");
        node.close();
    }

    private void configuration() throws Exception {
        expect(one.getConfig().forEnsemble() != null, "an answer");
        List<String> children = one.getChildren().forPath("/zookeeper");
        expect(children.contains("quota"), "quota among " + children);
    }

    private void whoAmI() throws Exception {
        expect(!one.getZookeeperClient().getZooKeeper().whoAmI().isEmpty(), "an identity");
    }

    private interface Condition {
        boolean holds() throws Exception;
    }

    private static void until(Condition condition, String what) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_S);
        while (!condition.holds()) {
            if (System.nanoTime() > end) {
                throw new TimeoutException("waited in vain for " + what);
            }
            Thread.sleep(20);
        }
    }

    private static void expect(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError("expected " + what);
        }
    }

    private static void expectEvents(BlockingQueue<String> events, String... wanted) throws Exception {
        for (String event : wanted) {
            String found = events.poll(WAIT_S, TimeUnit.SECONDS);
            expect(event.equals(found), event + ", not " + found);
        }
    }
}

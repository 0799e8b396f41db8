// The page as a whole, rendered without a browser from a snapshot: what it says in words. How it looks
// and that it lives is checked in a real browser against the running product (hil-tests/browser).
import { beforeEach, describe, expect, it } from 'vitest';
import { render } from 'svelte/server';
import type { Snapshot } from '../api';
import App from '../App.svelte';
import { operator } from '../operator.svelte';
import { route, type View } from '../route.svelte';
import { clip, itemsOf, place } from '../sketch';
import { alarm } from './alarm';
import json from './room.json';

const room = () => structuredClone(json) as unknown as Snapshot;
const page = (given: Snapshot, view: View = 'room') => {
  route.take(`#/${view}`);
  return render(App, { props: { given } }).body;
};
/** Attributes and element of the tile of a point. */
const tile = (html: string, id: string) => html.split(`data-point="${id}"`)[1]!.split('</li>')[0]!;

beforeEach(() => {
  operator.lang = 'ja';
});

describe('the page', () => {
  it('shows values with unit and age', () => {
    const html = page(room());
    expect(tile(html, 'inlet.r1.temperature')).toMatch(/23\.4.*℃/s);
    expect(tile(html, 'inlet.r1.temperature')).toContain('3秒前');
    expect(html).toContain('本庁舎 情報システム室');
    expect(html).toContain('16:40');
  });

  it('speaks English when asked to', () => {
    operator.lang = 'en';
    const html = page(room());
    expect(html).toContain('City hall server room');
    expect(html).toContain('SIMULATION');
    expect(html.replaceAll('日本語', '').replace(/lang="ja"/g, '')).not.toMatch(/[぀-ヿ一-龯]/);
  });

  it('shows missing data with its reason and never a number', () => {
    const snapshot = room();
    Object.assign(snapshot.points[0]!, { value: null, no_data: 'stale', age_ms: 185_000 });
    const html = tile(page(snapshot), 'inlet.r1.temperature');
    expect(html).toContain('欠測');
    expect(html).toContain('古いデータです');
    expect(html).toContain('3分05秒前');
    expect(html).not.toContain('23.4');
  });

  it('says of an alarm what to do first, and by when', () => {
    const snapshot = room();
    snapshot.alarms = [
      alarm('leak.1.wet', {
        priority: 'critical',
        what: { ja: '漏水', en: 'Water leak' },
        action: { ja: '元栓を閉める', en: 'Close the valve' },
        age_ms: 120_000,
        respond_within_s: 600,
      }),
      alarm('room.temperature.high', { state: 'shelved', what: { ja: '室温が高い', en: 'Room is hot' } }),
    ];
    const html = page(snapshot, 'alarms').split('data-alarm="leak.1.wet"')[1]!.split('</li>')[0]!;
    expect(html.indexOf('元栓を閉める')).toBeLessThan(html.indexOf('担当'));
    expect(html).toContain('8分00秒');
    // What is put away is named on the home view, always.
    const away = page(snapshot).split('data-away="1"')[1]!.split('</div>')[0]!;
    expect(away).toContain('室温が高い');
  });

  it('names who was told of an alarm, and who stands in for whom', () => {
    const snapshot = room();
    const contact = {
      name: 'facilities',
      label: { ja: '施設管理担当', en: 'Facilities' },
      on_duty: false,
      deputy: 'duty',
      via: ['mail'],
      called: false,
      last_test: null,
    };
    snapshot.alarms = [alarm('leak.1.wet')];
    snapshot.notices = {
      ...snapshot.notices,
      contacts: [contact, { ...contact, name: 'duty', label: { ja: '宿直', en: 'Duty' }, deputy: null }],
      notifiers: [
        {
          name: 'mail',
          label: { ja: '庁内メール', en: 'Mail' },
          state: 'failing',
          problem: { ja: '接続できません', en: 'Cannot connect' },
          lamps: false,
          last_success_ms: null,
        },
      ],
      told: [
        {
          alarm: 'leak.1.wet',
          contact: 'duty',
          deputy_for: 'facilities',
          notifier: 'mail',
          moment: 'raised',
          at_ms: snapshot.wall_ms,
          in_summary: false,
        },
      ],
    };
    const card = page(snapshot, 'alarms').split('data-told="1"')[1]!.split('</dd>')[0]!;
    expect(card).toContain('宿直');
    const html = page(snapshot, 'contacts');
    const one = html.split('data-contact="facilities"')[1]!.split('</li>')[0]!;
    for (const text of ['時間外', '今日は代理の「宿直」へ', '庁内メール', 'テスト連絡はまだ届いていません'])
      expect(one).toContain(text);
    expect(html.split('data-notifier="mail"')[1]!.split('</li>')[0]!).toContain('接続できません');
  });

  it('keeps forecasts apart from alarms: no colour of theirs, no count among them', () => {
    const snapshot = room();
    snapshot.forecasts = [
      {
        id: 'ups-a.battery.wear',
        kind: 'battery_wear',
        what: { ja: '蓄電池の寿命が近い', en: 'Battery near its end' },
        place: { ja: 'UPS-A', en: 'UPS-A' },
        because: { ja: '2.1年使用', en: '2.1 years' },
        action: { ja: '交換の予算を要求する', en: 'Ask for the money' },
        at_ms: snapshot.wall_ms + 400 * 86_400_000,
        earliest_ms: null,
        latest_ms: null,
        confidence: 'medium',
        confidence_words: { ja: 'ふつう', en: 'fair' },
        used_percent: 81,
        budget: null,
      },
    ];
    const home = page(snapshot);
    expect(home).toContain('予兆 1 件');
    route.take('#/alarms/forecast');
    const html = render(App, { props: { given: snapshot } }).body;
    const tab = html.split('data-tab="forecast"')[1]!.split('</button>')[0]!;
    expect(tab).not.toMatch(/class="count[^"]*(critical|warning|advisory)/);
  });

  it('lists what is being worked on, and asks for the result of what has ended', () => {
    const snapshot = room();
    const window = {
      id: 1,
      state: 'open' as const,
      scope: ['device:ups-a'],
      reason: '点検',
      work_order: '88',
      by: '施設課 佐藤',
      since_ms: snapshot.wall_ms - 60_000,
      until_ms: snapshot.wall_ms + 60_000,
      left_s: 60,
      folded: 2,
      result: null,
      result_by: null,
    };
    snapshot.maintenance = [window, { ...window, id: 2, state: 'awaits_result', left_s: null }];
    expect(page(snapshot).split('data-away="2"')[1]!.split('</div>')[0]!).toContain('結果の記入待ち');
    const tab = page(snapshot, 'alarms').split('data-tab="shelved"')[1]!.split('</button>')[0]!;
    expect(tab).toContain('>2<');
  });

  it('draws no watermark and no scenario on a real site', () => {
    const snapshot = room();
    snapshot.simulated = false;
    const html = page(snapshot);
    expect(html).not.toContain('data-scenario');
    expect(html).not.toContain('watermark');
  });

  it('says of a node what runs, what it refused and why, and what it watches over', () => {
    const snapshot = room();
    Object.assign(snapshot.nodes[0]!, {
      list: { version: 4, count: 12, in_force: 3, state: 'sending', have: 5 },
      witness: { size: 871, root: '00', given_ms: 0, verdict: 'agrees' },
      health: {
        running: '0.3.0',
        previous: '0.2.0',
        refused: '0.1.9',
        refused_because: 'Older',
        safe_mode: true,
        clock: 'unset',
      },
    });
    const row = page(snapshot, 'equipment').split('data-node="node-1"')[1]!.split('</tr>')[0]!;
    for (const text of [
      '0.3.0',
      '0.2.0',
      '0.1.9 を拒否（今の版より古い）',
      '安全モード',
      '未設定',
      '3 → 4',
      '871 件目まで: 一致',
    ])
      expect(row).toContain(text);
  });

  it('says of a door whether it is closed, held open or forced, and who was last refused', () => {
    const snapshot = room();
    expect(page(snapshot, 'equipment')).not.toContain('data-portal');
    const portal = {
      name: 'entrance',
      label: { ja: '正面扉', en: 'Front door' },
      node: 1,
      point: 'door.1',
      door: 'held_open',
      reader: 'mute',
      tamper: null,
      unlocked: true,
      last_decision: 'outside_hours',
      last_decision_age_ms: 65_000,
      area: 'room',
      list: null,
      passes: 'off',
    };
    snapshot.portals = [portal];
    const row = page(snapshot, 'equipment').split('data-portal="entrance"')[1]!.split('</tr>')[0]!;
    for (const text of ['正面扉', '開けたまま', '施錠されていない', '応答なし', '拒否: 時間外', '1分05秒前'])
      expect(row).toContain(text);
  });

  it('says of a group who serves and that its redundancy is lost, and of a hidden device what it is behind', () => {
    const snapshot = room();
    expect(page(snapshot, 'equipment')).not.toContain('data-group');
    const member = (name: string, state: string) => ({ name, label: { ja: name, en: name }, state });
    snapshot.groups = [
      {
        name: 'db',
        label: { ja: 'データベース', en: 'Database' },
        service: 'up',
        redundancy: 'lost',
        need: 1,
        members: [member('db-1', 'down'), member('db-2', 'serving')],
      },
    ];
    const row = page(snapshot, 'equipment').split('data-group="db"')[1]!.split('</tr>')[0]!;
    for (const text of ['データベース', '稼働中', '喪失', 'db-1: 停止', 'db-2: 稼働'])
      expect(row).toContain(text);
    Object.assign(snapshot.devices[0]!, { state: 'hidden', behind: 'switch-1' });
    const device = page(snapshot, 'equipment').split('<tr data-device=')[1]!.split('</tr>')[0]!;
    for (const text of ['不明（経路の機器が不通）', 'switch-1 の先']) expect(device).toContain(text);
  });

  it('turns to the three figures in an outage', () => {
    const snapshot = room();
    expect(page(snapshot)).not.toContain('data-countdown');
    Object.assign(snapshot.power, { mode: 'battery', starts_in_s: 95, outage_s: 20 });
    const html = page(snapshot).split('data-countdown')[1]!.split('</section>')[0]!;
    for (const text of ['16:40', '24:10', '5:30', '1:35']) expect(html).toContain(text);
  });
});

describe('after the plan', () => {
  it('tells what was stopped, and no margin that means nothing any more', () => {
    const snapshot = room();
    Object.assign(snapshot.power, { mode: 'stopped', outage_s: 200, margin_s: -50 });
    for (const step of snapshot.power.steps) step.state = 'confirmed';
    snapshot.power.steps[1]!.state = 'abandoned';
    const html = page(snapshot).split('data-countdown')[1]!.split('</section>')[0]!;
    expect(html).toContain('3 / 4');
    expect(html).toContain('24:10');
    expect(html).not.toContain('計画が残り時間に収まりません');
  });
});

describe('the drawing', () => {
  it('has what the room has', () => {
    const { items, ceiling, ropes } = itemsOf(room());
    expect(items.map((i) => i.kind)).toEqual(['door', 'rack', 'rack', 'rack', 'servers', 'ups', 'ups']);
    expect(ceiling.map((p) => p.id)).toEqual(['room.temperature', 'room.humidity', 'smoke.1']);
    expect(ropes.map((p) => p.id)).toEqual(['leak.1']);
  });

  it('fits the width, in more rows when it must', () => {
    const { items } = itemsOf(room());
    for (const width of [300, 360, 700, 1100]) {
      const placed = place(items, width);
      expect(placed).toHaveLength(items.length);
      for (const { x, width: w } of placed) {
        expect(x).toBeGreaterThanOrEqual(0);
        expect(x + w).toBeLessThanOrEqual(width);
      }
    }
    expect(place(items, 1100).every((p) => p.row === 0)).toBe(true);
  });

  it('cuts long names', () => {
    expect(clip('業務サーバー', 4)).toBe('業務サー…');
    expect(clip('db1', 4)).toBe('db1');
  });
});

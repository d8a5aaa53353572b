/** Scrolling a list that is longer than a browser lets anything be. */

/** The most pixels that a part of a page is high, so that every browser can do it. */
export const MOST_PIXELS = 8_000_000;

/**
 * Where a list is scrolled to. A list that fits is scrolled as ever. Of a longer one, small steps are steps of the list,
 * and large ones, as when the bar is dragged, are a share of it.
 */
export class LongScroll {
  total = 0;
  view = 0;
  /** How far the list is scrolled, in its own pixels. */
  top = 0;
  private bar = 0;

  /** How high the part of the page is that stands for the list. */
  get height(): number {
    return Math.min(this.total, MOST_PIXELS);
  }

  /** What is added to a place in the list for its place in that part. */
  get shift(): number {
    return this.bar - this.top;
  }

  private get factor(): number {
    return this.height > this.view ? (this.total - this.view) / (this.height - this.view) : 1;
  }

  /** The bar is now there. */
  moved(bar: number): void {
    const step = bar - this.bar;
    const most = Math.max(0, this.total - this.view);
    if (this.factor === 1) this.top = bar;
    else if (bar <= 0) this.top = 0;
    else if (bar >= this.height - this.view - 1) this.top = most;
    else this.top = Math.abs(step) < 4 * this.view ? this.top + step : bar * this.factor;
    this.top = Math.min(Math.max(this.top, 0), most);
    this.bar = bar;
  }

  /** Where the bar has to be for the list to be there. */
  to(top: number): number {
    const most = Math.max(0, this.total - this.view);
    this.top = Math.min(Math.max(top, 0), most);
    this.bar = Math.round(this.top / this.factor);
    return this.bar;
  }
}
